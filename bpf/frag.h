/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Fragments: the first one's verdict is kept and rules the rest; one without it is dropped. */
#ifndef FQDNLAB_FRAG_H
#define FQDNLAB_FRAG_H

#include "events.h"

#define FRAG_LIFE (15ull * 1000000000ull)

static __always_inline void frag_make_key(struct frag_key *k, const struct packet *p, __u32 ep_id)
{
	__builtin_memset(k, 0, sizeof(*k));
	__builtin_memcpy(k->saddr, p->saddr, 16);
	__builtin_memcpy(k->daddr, p->daddr, 16);
	k->id = p->frag_id;
	k->ep_id = ep_id;
	k->proto = p->frag_proto;
}

/* Keep the verdict on a first fragment.  A second first one, while the datagram of an allowed one is not
 * whole, overlaps it.  Returns DROP_NONE or the reason to drop it. */
static __noinline enum drop_reason frag_keep(const struct packet *p, __u32 ep_id, const struct decision *d, __u64 now)
{
	struct frag_key k;
	struct frag_value *old, v = {
					.expires = now + FRAG_LIFE,
					.rule = d->rule,
					.seen = p->frag_length,
					.verdict = d->verdict,
					.reason = d->reason,
				};

	v.to[0] = p->frag_length;
	frag_make_key(&k, p, ep_id);
	old = bpf_map_lookup_elem(&frags, &k);
	if (old && old->verdict == VERDICT_ALLOW && old->expires > now)
		return DROP_FRAG_INVALID;
	if (bpf_map_update_elem(&frags, &k, &v, old ? BPF_ANY : BPF_NOEXIST))
		return DROP_FRAG_INVALID;
	return DROP_NONE;
}

/* Take [from, to) in, unless it overlaps what has passed (RFC 5722), goes beyond the end, or lies in more
 * pieces than are kept. */
static __always_inline bool frag_take(struct frag_value *v, __u32 from, __u32 to, bool last)
{
	int fits = -1;

	if (v->total && (last || to > v->total))
		return false;
	for (int i = 0; i < FRAG_PIECES; i++) {
		__u32 a = v->from[i], b = v->to[i];

		if (from < b && a < to)
			return false;
		if (last && b > to)
			return false;
		if (fits < 0 && (b == from || !b || a == to))
			fits = i;
	}
	for (int i = 0; i < FRAG_PIECES; i++) {
		if (i != fits)
			continue;
		if (!v->to[i]) {
			v->from[i] = from;
			v->to[i] = to;
		} else if (v->to[i] == from) {
			v->to[i] = to;
		} else {
			v->from[i] = from;
		}
	}
	if (fits < 0)
		return false;
	v->seen += to - from;
	if (last)
		v->total = to;
	return true;
}

/* Judge a later fragment by the first. */
static __noinline __attribute__((unused)) int frag_judge(const struct packet *p, __u32 ep_id, struct decision *d,
							 __u64 now)
{
	struct frag_key k;
	struct frag_value *v;
	bool taken, whole;

	frag_make_key(&k, p, ep_id);
	v = bpf_map_lookup_elem(&frags, &k);
	d->verdict = VERDICT_DENY;
	if (!v || v->expires <= now) {
		d->reason = DROP_FRAG_NOT_FOUND;
		return 0;
	}
	d->rule = v->rule;
	d->reason = DROP_FRAG_INVALID;
	/* two fragments of one datagram on two CPUs at once: no sender does that, and one of them is lost */
	if (__sync_val_compare_and_swap(&v->busy, 0, 1))
		return 0;
	taken = frag_take(v, p->frag_offset, (__u32)p->frag_offset + p->frag_length, !p->frag_more);
	whole = v->total && v->seen == v->total;
	__sync_lock_test_and_set(&v->busy, 0);
	if (!taken)
		return 0;
	d->verdict = v->verdict;
	d->reason = v->reason;
	if (whole)
		bpf_map_delete_elem(&frags, &k);
	return 0;
}

#endif
