/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Ways 3.4 and 3.5: address -> identity -> verdict and the rule that decided. */
#ifndef FQDNLAB_VERDICT_H
#define FQDNLAB_VERDICT_H

#include "events.h"

/* Way 3.4: full addresses first, then CIDRs, then the world. */
static __always_inline void ipcache_find(const struct packet *p, const __u8 *addr, struct ipcache_value *out)
{
	struct cidr_key k = {.prefixlen = 128}; /* a copy: 6.1 takes no key from the memory of a caller */
	struct ipcache_value *v;

	__builtin_memcpy(k.addr, addr, 16);
	v = bpf_map_lookup_elem(&ipcache_host, k.addr);
	if (!v)
		v = bpf_map_lookup_elem(&ipcache_cidr, &k);
	if (v) {
		*out = *v;
		return;
	}
	out->identity = p->family == 4 ? IDENTITY_WORLD_IPV4 : IDENTITY_WORLD_IPV6;
	out->est_identity = out->identity;
	out->flags = 0;
	out->pad = 0;
}

static __always_inline void be32_put(__u8 *to, __u32 v)
{
	__u32 n = bpf_htonl(v);

	__builtin_memcpy(to, &n, 4);
}

/* Does `a` rule over `b`?  Deny over redirect over allow, then the longer match; `a` is the specific one. */
static __always_inline bool rules_over(const struct policy_value *a, const struct policy_value *b)
{
	return a->verdict != b->verdict ? a->verdict > b->verdict : a->bits >= b->bits;
}

static __always_inline __u8 match_of(const struct policy_value *best, bool by_identity)
{
	if (best->bits > 8)
		return by_identity ? MATCH_L3_L4 : MATCH_L4_ONLY;
	if (best->bits)
		return by_identity ? MATCH_L3_PROTO : MATCH_PROTO_ONLY;
	return by_identity ? MATCH_L3_ONLY : MATCH_ALL;
}

/* Way 3.5: the entry for the identity and the one for any identity; the stronger decides. */
static __always_inline void policy_find(__u32 policy_id, __u32 identity, __u8 proto, const __u8 *port,
					struct decision *d)
{
	struct policy_key k = {.prefixlen = POLICY_EXACT_BITS + 24, .proto = proto};
	struct policy_value *one, *any, *best;

	__builtin_memcpy(k.dport, port, 2);
	be32_put(k.policy_id, policy_id);
	be32_put(k.identity, identity);
	one = bpf_map_lookup_elem(&policy, &k);
	be32_put(k.identity, IDENTITY_ANY);
	any = bpf_map_lookup_elem(&policy, &k);
	best = !any || (one && rules_over(one, any)) ? one : any;
	d->identity = identity;
	if (!best) {
		d->verdict = VERDICT_DENY;
		d->reason = DROP_POLICY_DENIED;
		d->rule = 0;
		d->proxy_port = 0;
		d->match = MATCH_NONE;
		return;
	}
	d->rule = best->rule;
	d->match = match_of(best, best == one);
	d->verdict = best->verdict;
	d->proxy_port = best->verdict == VERDICT_REDIRECT ? best->proxy_port : 0;
	d->reason = best->verdict == VERDICT_DENY ? DROP_POLICY_DENY : DROP_NONE;
}

/* Judge one packet that leaves: `established` flows may go on where only expired names allow them. */
__noinline int judge(const struct endpoint_info *ep, const struct packet *p, __u32 established, struct decision *d)
{
	struct ipcache_value c;
	__u8 port[2] = {};

	if (!ep || !p || !d)
		return 0;
	port[1] = p->icmp_type;
	if (p->icmp == ICMP_KIND_NONE)
		__builtin_memcpy(port, p->dport, 2);
	ipcache_find(p, p->daddr, &c);
	d->identity = c.identity;
	d->rule = 0;
	d->proxy_port = 0;
	d->match = MATCH_NONE;
	if (c.flags & IPCACHE_INTERNAL) {
		d->verdict = VERDICT_DENY;
		d->reason = DROP_INTERNAL;
		return 0;
	}
	if (!(ep->flags & ENDPOINT_ENFORCED)) {
		d->verdict = VERDICT_ALLOW;
		d->reason = DROP_NONE;
		d->match = MATCH_ALL;
		return 0;
	}
	policy_find(ep->policy_id, established ? c.est_identity : c.identity, p->proto, port, d);
	if (d->reason == DROP_POLICY_DENIED && !established && c.est_identity != c.identity) {
		struct decision was;

		policy_find(ep->policy_id, c.est_identity, p->proto, port, &was);
		if (was.verdict != VERDICT_DENY)
			d->reason = DROP_ZOMBIE_NEW;
	}
	return 0;
}

#endif
