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
	k->proto = p->proto;
}

static __always_inline void frag_keep(const struct packet *p, __u32 ep_id, const struct decision *d, __u64 now)
{
	struct frag_key k;
	struct frag_value v = {
		.expires = now + FRAG_LIFE,
		.rule = d->rule,
		.next_offset = p->frag_length,
		.verdict = d->verdict,
		.reason = d->reason,
	};

	frag_make_key(&k, p, ep_id);
	bpf_map_update_elem(&frags, &k, &v, BPF_ANY);
}

/* Judge a later fragment by the first.  Fragments must come in order and touch: overlaps are an attack
 * (RFC 5722), holes are left to the sender's retransmission. */
static __always_inline void frag_judge(const struct packet *p, __u32 ep_id, struct decision *d, __u64 now)
{
	struct frag_key k;
	struct frag_value *v;

	frag_make_key(&k, p, ep_id);
	v = bpf_map_lookup_elem(&frags, &k);
	d->rule = 0;
	d->identity = 0;
	d->proxy_port = 0;
	d->verdict = VERDICT_DENY;
	if (!v || v->expires < now) {
		d->reason = DROP_FRAG_NOT_FOUND;
		return;
	}
	d->rule = v->rule;
	if (p->frag_offset < v->next_offset) {
		d->reason = DROP_FRAG_INVALID;
		return;
	}
	v->next_offset = p->frag_offset + p->frag_length;
	d->verdict = v->verdict;
	d->reason = v->reason;
}

#endif
