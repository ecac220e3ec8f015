/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 3.2: from octets to a `struct packet`.  Every read is checked; nothing is trusted. */
#ifndef FQDNLAB_PARSE_H
#define FQDNLAB_PARSE_H

#include "packet.h"

/* What a fragment must be to be judged at all. */
static __always_inline int check_fragment(const struct packet *p)
{
	if (p->fragment == FRAG_NONE)
		return DROP_NONE;
	if (!p->frag_length || (__u32)p->frag_offset + p->frag_length > 0xffff)
		return DROP_FRAG_INVALID;
	/* RFC 791: all but the last are multiples of 8 octets */
	return p->frag_more && p->frag_length & 7 ? DROP_FRAG_INVALID : DROP_NONE;
}

static __always_inline int parse_icmp(struct packet *p, const __u8 *h)
{
	if ((p->proto == PROTO_ICMP) != (p->family == 4))
		return DROP_INVALID_PACKET;
	p->icmp_type = h[0];
	p->icmp_code = h[1];
	p->icmp = icmp_kind(p->family, h[0]);
	/* RFC 4861, 6980: never sent beyond the link, never in fragments; else policy judges it */
	if (p->icmp == ICMP_KIND_NEIGHBOUR && (p->fragment != FRAG_NONE || !on_link(p->daddr)))
		p->icmp = ICMP_KIND_OTHER;
	if (p->icmp == ICMP_KIND_REQUEST || p->icmp == ICMP_KIND_REPLY) {
		__builtin_memcpy(p->sport, h + 4, 2);
		__builtin_memcpy(p->dport, h + 4, 2);
	}
	return DROP_NONE;
}

/* The transport header's ports, or what stands for them.  `end`: of the packet, in the skb. */
static __always_inline int parse_l4(struct __sk_buff *skb, struct packet *p, __u32 end, bool quoted)
{
	__u32 need = p->proto == PROTO_TCP && !quoted ? 20 : 8;
	int reason = check_fragment(p);
	__u8 h[8];

	if (!quoted && reason)
		return reason;
	if (p->fragment == FRAG_LATER)
		return DROP_NONE;
	switch (p->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
	case PROTO_SCTP:
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		break;
	default:
		return DROP_NONE; /* no ports */
	}
	/* RFC 1858: a first fragment must hold the header that is judged */
	if (p->l4 + need > end)
		return p->fragment == FRAG_FIRST ? DROP_FRAG_INVALID : DROP_INVALID_PACKET;
	if (bpf_skb_load_bytes(skb, p->l4, h, sizeof(h)))
		return DROP_INVALID_PACKET;
	if (p->proto == PROTO_ICMP || p->proto == PROTO_ICMPV6)
		return parse_icmp(p, h);
	__builtin_memcpy(p->sport, h, 2);
	__builtin_memcpy(p->dport, h + 2, 2);
	if (p->proto == PROTO_TCP && !quoted) {
		if (bpf_skb_load_bytes(skb, p->l4 + 12, h, 8))
			return DROP_INVALID_PACKET;
		if ((h[0] >> 4) < 5)
			return DROP_INVALID_PACKET;
		p->tcp_flags = h[1];
	}
	return DROP_NONE;
}

/* IPv4 at offset `at`; `quoted` in an ICMP error, which may have cut it off.
 *
 * Global, as each function here that is not static: the verifier of 6.1 looks at it once, alone, and not again
 * from each state of each caller (docs/decisions/0511). */
__noinline int parse_ip4(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 quoted)
{
	__u8 h[20];
	__u32 ihl, total, frag;

	if (!p || bpf_skb_load_bytes(skb, at, h, sizeof(h)))
		return DROP_INVALID_PACKET;
	ihl = (h[0] & 15) * 4;
	total = be16(h + 2);
	if (h[0] >> 4 != 4 || ihl < 20 || total < ihl || (!quoted && total > skb->len - at))
		return DROP_INVALID_PACKET;
	p->family = 4;
	p->proto = h[9];
	p->length = total;
	p->l4 = at + ihl;
	mapped(p->saddr, h + 12);
	mapped(p->daddr, h + 16);
	frag = be16(h + 6);
	if (frag & 0x3fff) {
		p->frag_offset = (frag & 0x1fff) * 8;
		p->frag_length = total - ihl;
		p->frag_id = be16(h + 4);
		p->frag_proto = p->proto;
		p->frag_more = frag >> 13 & 1;
		p->fragment = p->frag_offset ? FRAG_LATER : FRAG_FIRST;
	}
	return parse_l4(skb, p, quoted ? skb->len : at + total, quoted);
}

/* IPv6's fragment header, its 8 octets in `x`, what follows it at `off`. */
static __always_inline int fragment_header(struct packet *p, const __u8 *x, __u32 off, __u32 end)
{
	if (p->fragment != FRAG_NONE || off > end)
		return DROP_INVALID_PACKET;
	p->frag_proto = x[0];
	p->frag_offset = be16(x + 2) & 0xfff8;
	p->frag_more = x[3] & 1;
	p->frag_length = end - off;
	__builtin_memcpy(&p->frag_id, x + 4, 4);
	if (p->frag_offset)
		p->fragment = FRAG_LATER;
	else if (p->frag_more)
		p->fragment = FRAG_FIRST; /* else RFC 6946: atomic, a whole packet */
	return DROP_NONE;
}

static __always_inline bool mapped_on_the_wire(const __u8 *a)
{
	return *(const __u64 *)a == 0 && *(const __u32 *)(a + 8) == bpf_htonl(0xffff);
}

/* The walk over IPv6's extension headers, from one to the next. */
struct walk {
	struct __sk_buff *skb;
	struct packet *p;
	__u32 off; /* of the header that `next` names */
	__u32 end;
	__u32 reason; /* why the walk ended, if `done` and not at the transport header */
	__u8 next;
	bool done;
};

static __always_inline long walk_ends(struct walk *w, __u32 reason)
{
	w->reason = reason;
	w->done = true;
	return 1;
}

static __always_inline long walk_fragment(struct walk *w)
{
	__u8 x[8];

	if (bpf_skb_load_bytes(w->skb, w->off, x, 8))
		return walk_ends(w, DROP_INVALID_PACKET);
	w->next = x[0];
	w->off += 8;
	if (fragment_header(w->p, x, w->off, w->end))
		return walk_ends(w, DROP_INVALID_PACKET);
	/* what follows is in the middle of it, and no header */
	return w->p->fragment == FRAG_LATER ? walk_ends(w, DROP_NONE) : 0;
}

/* One header, for bpf_loop: 0 goes on to the next. */
static long walk_step(__u32 index, struct walk *w)
{
	__u8 x[4];

	switch (w->next) {
	case 44: /* fragment */
		return walk_fragment(w);
	case 0:	 /* hop-by-hop */
	case 43: /* routing */
	case 51: /* authentication header */
	case 60: /* destination options */
		break;
	case 135: /* mobility */
	case 139: /* host identity */
	case 140: /* shim6 */
	case 253:
	case 254:
		return walk_ends(w, DROP_EXT_HEADERS);
	default:
		return walk_ends(w, DROP_NONE);
	}
	if (bpf_skb_load_bytes(w->skb, w->off, x, 4))
		return walk_ends(w, DROP_INVALID_PACKET);
	/* segments left: it is for an address that is not the one judged */
	if (w->next == 43 && x[3])
		return walk_ends(w, DROP_EXT_HEADERS);
	w->off += w->next == 51 ? (x[1] + 2) * 4 : (x[1] + 1) * 8;
	w->next = x[0];
	return 0;
}

__noinline int parse_ip6(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 quoted)
{
	struct walk w = {};
	__u32 payload;
	__u8 h[40];

	if (!p || bpf_skb_load_bytes(skb, at, h, sizeof(h)))
		return DROP_INVALID_PACKET;
	payload = be16(h + 4);
	if (h[0] >> 4 != 6 || (!quoted && payload + 40 > skb->len - at))
		return DROP_INVALID_PACKET;
	p->family = 6;
	p->length = payload + 40;
	__builtin_memcpy(p->saddr, h + 8, 16);
	__builtin_memcpy(p->daddr, h + 24, 16);
	/* A mapped address on the wire would be taken for the IPv4 one: RFC 4942, 2.2. */
	if (mapped_on_the_wire(p->saddr))
		return DROP_INVALID_SOURCE_IP;
	if (mapped_on_the_wire(p->daddr))
		return DROP_INVALID_PACKET;
	w.skb = skb;
	w.p = p;
	w.off = at + 40;
	w.end = quoted ? skb->len : w.off + payload;
	w.next = h[6];
	bpf_loop(MAX_EXT_HEADERS + 1, walk_step, &w, 0);
	if (!w.done)
		return DROP_EXT_HEADERS;
	if (w.reason)
		return w.reason;
	p->proto = w.next;
	p->l4 = w.off;
	if (p->fragment == FRAG_LATER)
		return quoted ? DROP_NONE : check_fragment(p);
	return parse_l4(skb, p, w.end, quoted);
}

/* Fill `p`; return DROP_NONE or the reason why the packet cannot be judged. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->length = skb->len - ETH_LEN; /* until its header says better */
	if (skb->vlan_present)
		return DROP_UNSUPPORTED_L3;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return parse_ip4(skb, p, ETH_LEN, false);
	case bpf_htons(ETH_P_IPV6):
		return parse_ip6(skb, p, ETH_LEN, false);
	case bpf_htons(ETH_P_ARP):
		p->arp = 1;
		return DROP_NONE;
	}
	return DROP_UNSUPPORTED_L3;
}

#endif
