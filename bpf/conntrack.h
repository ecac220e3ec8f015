/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 3.3: conntrack, from the endpoint's point of view (local is the endpoint). */
#ifndef FQDNLAB_CONNTRACK_H
#define FQDNLAB_CONNTRACK_H

#include "maps.h"
#include "parse.h"

#define SECOND 1000000000ull
#define LIFE_ESTABLISHED (8000 * SECOND) /* Cilium's bpf-ct-timeout-regular-tcp */
#define LIFE_SYN (60 * SECOND)
#define LIFE_CLOSING (10 * SECOND)
#define LIFE_OTHER (60 * SECOND)

/* The key of the flow that `p` belongs to, opened in direction `dir`; `out`: it leaves the endpoint. */
static __always_inline void ct_make_key(struct ct_key *k, const struct packet *p, bool out, __u8 dir)
{
	__builtin_memset(k, 0, sizeof(*k));
	__builtin_memcpy(k->remote, out ? p->daddr : p->saddr, 16);
	__builtin_memcpy(k->local_port, out ? p->sport : p->dport, 2);
	if (p->icmp == ICMP_KIND_NONE)
		__builtin_memcpy(k->remote_port, out ? p->dport : p->sport, 2);
	k->proto = p->proto;
	k->dir = dir;
}

static __always_inline struct ct_value *ct_find(void *table, const struct ct_key *k, __u64 now)
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

static __always_inline long ct_open(void *table, const struct ct_key *k, const struct packet *p, __u32 rule,
				    __u32 identity, __u16 proxy_port, __u64 epoch, __u64 now)
{
	struct ct_value v = {
		.created = now,
		.last = now,
		.expires = now + (p->proto == PROTO_TCP ? LIFE_SYN : LIFE_OTHER),
		.epoch = epoch,
		.rule = rule,
		.identity = identity,
		.proxy_port = proxy_port,
	};

	return bpf_map_update_elem(table, k, &v, BPF_ANY);
}

/* A SYN over a flow that was established or is closing opens a new one on the same ports. */
static __always_inline bool ct_reopens(const struct ct_value *v, const struct packet *p)
{
	return p->proto == PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       v->flags & (CT_ESTABLISHED | CT_RST | CT_FIN_LOCAL | CT_FIN_REMOTE);
}

/* An ICMP error passes only if the packet that it quotes belongs to a known flow (RFC 5927, 4.1). */
static __noinline int ct_related(struct __sk_buff *skb, const struct packet *p, void *table, int out)
{
	struct ct_key k = {};
	__u8 h[40], ports[4];
	__u32 at = p->l4 + 8, l4;
	__u64 now = bpf_ktime_get_boot_ns();
	bool ours; /* the quoted packet was sent by the endpoint */

	if (p->family == 4) {
		if (bpf_skb_load_bytes(skb, at, h, 20) || h[0] >> 4 != 4)
			return 0;
		l4 = at + (h[0] & 15) * 4;
		k.proto = h[9];
		ours = !out;
		mapped(k.remote, ours ? h + 16 : h + 12);
	} else {
		if (bpf_skb_load_bytes(skb, at, h, 40) || h[0] >> 4 != 6)
			return 0;
		l4 = at + 40;
		k.proto = h[6];
		ours = !out;
		__builtin_memcpy(k.remote, ours ? h + 24 : h + 8, 16);
	}
	if (bpf_skb_load_bytes(skb, l4, ports, 4))
		return 0;
	if (k.proto == PROTO_ICMP || k.proto == PROTO_ICMPV6) {
		if (bpf_skb_load_bytes(skb, l4 + 4, k.local_port, 2))
			return 0;
	} else {
		__builtin_memcpy(k.local_port, ours ? ports : ports + 2, 2);
		__builtin_memcpy(k.remote_port, ours ? ports + 2 : ports, 2);
	}
	k.dir = DIR_EGRESS;
	if (ct_find(table, &k, now))
		return 1;
	k.dir = DIR_INGRESS;
	return ct_find(table, &k, now) != NULL;
}

#endif
