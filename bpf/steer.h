/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 2.3: to the proxy's socket.  Way 2.5: the upstream's answer back to the proxy. */
#ifndef FQDNLAB_STEER_H
#define FQDNLAB_STEER_H

#include "maps.h"
#include "parse.h"

#define TCP_STATE_LISTEN 10

static __always_inline __u32 tuple_of(struct bpf_sock_tuple *t, const struct packet *p)
{
	if (p->family == 4) {
		__builtin_memcpy(&t->ipv4.saddr, p->saddr + 12, 4);
		__builtin_memcpy(&t->ipv4.daddr, p->daddr + 12, 4);
		__builtin_memcpy(&t->ipv4.sport, p->sport, 2);
		__builtin_memcpy(&t->ipv4.dport, p->dport, 2);
		return sizeof(t->ipv4);
	}
	__builtin_memcpy(t->ipv6.saddr, p->saddr, 16);
	__builtin_memcpy(t->ipv6.daddr, p->daddr, 16);
	__builtin_memcpy(&t->ipv6.sport, p->sport, 2);
	__builtin_memcpy(&t->ipv6.dport, p->dport, 2);
	return sizeof(t->ipv6);
}

/* Steer to the socket of the asked port, transport and family; return DROP_NONE (the caller sets the mark,
 * so that the packet is delivered here) or why not. */
static __noinline enum drop_reason steer(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 key;
	long refused;

	if (p->proto == PROTO_TCP) {
		/* a connection that the proxy has already: the kernel finds it, once delivered here */
		tuple_of(&t, p);
		if (p->family == 4)
			sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
		else
			sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
		if (sk) {
			__u32 state = sk->state;

			bpf_sk_release(sk);
			if (state != TCP_STATE_LISTEN)
				return DROP_NONE;
		}
	}
	key = (__u32)be16(p->dport) * 4 + (p->proto == PROTO_TCP ? 2 : 0) + (p->family == 6);
	sk = bpf_map_lookup_elem(&dns_socks, &key);
	if (!sk)
		return DROP_NO_PROXY;
	refused = bpf_sk_assign(skb, sk, 0);
	bpf_sk_release(sk);
	return refused ? DROP_STEERING : DROP_NONE;
}

/* Is `sk` bound to the very address that `p` goes to?  Each field is read once, at a fixed offset: the
 * verifier lets no pointer to a socket be reckoned with. */
static __always_inline bool bound_to(struct bpf_sock *sk, const struct packet *p)
{
	__u32 v4 = *(volatile __u32 *)&sk->src_ip4;
	__u32 a = *(volatile __u32 *)&sk->src_ip6[0], b = *(volatile __u32 *)&sk->src_ip6[1];
	__u32 c = *(volatile __u32 *)&sk->src_ip6[2], d = *(volatile __u32 *)&sk->src_ip6[3];
	const __u32 *to = (const __u32 *)p->daddr;

	if (p->family == 4)
		return v4 == to[3];
	return a == to[0] && b == to[1] && c == to[2] && d == to[3];
}

/* An answer to a question that the proxy asked from the endpoint's address: only a socket bound to that
 * very address may have it; anything else goes on to the endpoint.
 * Returns 1 if steered (the caller sets the mark). */
static __noinline __attribute__((unused)) int steer_answer(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	bool ours; /* a listener is bound to no endpoint's address */

	tuple_of(&t, p);
	if (p->proto == PROTO_UDP) {
		if (p->family == 4)
			sk = bpf_sk_lookup_udp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
		else
			sk = bpf_sk_lookup_udp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	} else {
		if (p->family == 4)
			sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
		else
			sk = bpf_sk_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return 0;
	ours = bound_to(sk, p);
	if (ours && bpf_sk_assign(skb, sk, 0))
		ours = false;
	bpf_sk_release(sk);
	return ours;
}

#endif
