/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 3.3: conntrack, from the endpoint's point of view (local is the endpoint). */
#ifndef FQDNLAB_CONNTRACK_H
#define FQDNLAB_CONNTRACK_H

#include "maps.h" /* functions that not each object uses are marked unused */
#include "parse.h"

#define SECOND 1000000000ull
#define LIFE_ESTABLISHED (8000 * SECOND) /* Cilium's bpf-ct-timeout-regular-tcp */
#define LIFE_SYN (60 * SECOND)
#define LIFE_CLOSING (10 * SECOND)
#define LIFE_OTHER (60 * SECOND)

/* The key of the flow that `p` belongs to, whoever opened it; `out`: it leaves the endpoint.  Of ICMP, an echo
 * and its answers are one flow; whatever else has one for each type. */
static __always_inline void ct_make_key(struct ct_key *k, const struct packet *p, bool out)
{
	__builtin_memset(k, 0, sizeof(*k));
	__builtin_memcpy(k->remote, out ? p->daddr : p->saddr, 16);
	__builtin_memcpy(k->local_port, out ? p->sport : p->dport, 2);
	if (p->icmp == ICMP_KIND_NONE) {
		__builtin_memcpy(k->remote_port, out ? p->dport : p->sport, 2);
	} else if (p->icmp == ICMP_KIND_REQUEST || p->icmp == ICMP_KIND_REPLY) {
		k->remote_port[1] = out == (p->icmp == ICMP_KIND_REQUEST) ? DIR_EGRESS : DIR_INGRESS;
	} else {
		k->remote_port[0] = 1;
		k->remote_port[1] = p->icmp_type;
	}
	k->proto = p->proto;
}

/* Not inlined, so that the object's BTF has the types: clang 14 leaves out those of an inner map. */
static __noinline struct ct_value *ct_find(void *table, const struct ct_key *k, __u64 now)
{
	struct ct_value *v = bpf_map_lookup_elem(table, k);

	return v && v->expires > now ? v : NULL;
}

/* A packet of a known flow went by: `opener`, in the direction that opened it. */
static __always_inline void ct_touch(struct ct_value *v, const struct packet *p, bool opener, __u64 now)
{
	__u32 flags = v->flags;

	if (!opener)
		flags |= CT_SEEN_REPLY;
	v->last = now;
	if (p->proto != PROTO_TCP) {
		v->flags = flags;
		v->expires = now + LIFE_OTHER;
		return;
	}
	if (p->tcp_flags & TCP_RST)
		flags |= CT_RST;
	if (p->tcp_flags & TCP_FIN)
		flags |= opener ? CT_FIN_LOCAL : CT_FIN_REMOTE;
	if (flags & CT_SEEN_REPLY && p->tcp_flags & TCP_ACK)
		flags |= CT_ESTABLISHED;
	v->flags = flags;
	if (flags & CT_RST || (flags & (CT_FIN_LOCAL | CT_FIN_REMOTE)) == (CT_FIN_LOCAL | CT_FIN_REMOTE))
		v->expires = now + LIFE_CLOSING;
	else
		v->expires = now + (flags & CT_ESTABLISHED ? LIFE_ESTABLISHED : LIFE_SYN);
}

static __always_inline long ct_open(void *table, const struct ct_key *k, const struct packet *p, __u8 dir, __u32 rule,
				    __u32 identity, __u64 epoch, __u64 now)
{
	struct ct_value v = {
		.created = now,
		.last = now,
		.expires = now + (p->proto == PROTO_TCP ? LIFE_SYN : LIFE_OTHER),
		.epoch = epoch,
		.rule = rule,
		.identity = identity,
		.dir = dir,
	};

	return bpf_map_update_elem(table, k, &v, BPF_ANY);
}

static __always_inline bool bare_syn(const struct packet *p)
{
	return p->proto == PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* A SYN over a flow that was established or is closing opens a new one on the same ports. */
static __always_inline bool ct_reopens(const struct ct_value *v, const struct packet *p)
{
	return bare_syn(p) && v->flags & (CT_ESTABLISHED | CT_RST | CT_FIN_LOCAL | CT_FIN_REMOTE);
}

/* An ICMP error passes only if the packet that it quotes belongs to a known flow (RFC 5927, 4.1) of the
 * endpoint: `out`: the endpoint complains of what it got, else others complain of what it sent. */
static __noinline __attribute__((unused)) int ct_related(struct __sk_buff *skb, const struct packet *p, void *table,
							 int out)
{
	struct packet q;
	struct ct_key k;
	__u64 now = bpf_ktime_get_boot_ns();
	int bad;

	__builtin_memset(&q, 0, sizeof(q));
	if (p->family == 4)
		bad = parse_ip4(skb, &q, p->l4 + 8, true);
	else
		bad = parse_ip6(skb, &q, p->l4 + 8, true);
	if (bad || q.fragment == FRAG_LATER || q.icmp == ICMP_KIND_ERROR)
		return 0;
	if (!same16(out ? q.daddr : q.saddr, out ? p->saddr : p->daddr))
		return 0;
	/* The endpoint is no router: it complains to who sent it the packet, and to nobody else (RFC 1122, 3.2.2). */
	if (out && !same16(q.saddr, p->daddr))
		return 0;
	ct_make_key(&k, &q, !out);
	return ct_find(table, &k, now) != NULL;
}

#endif
