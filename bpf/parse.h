/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 3.2: from octets to a `struct packet`.  Every read is checked; nothing is trusted. */
#ifndef FQDNLAB_PARSE_H
#define FQDNLAB_PARSE_H

#include "abi.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define ETH_P_ARP 0x0806
#define ETH_LEN 14

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define PROTO_SCTP 132

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define MAX_EXT_HEADERS 8

enum fragment {
	FRAG_NONE,
	FRAG_FIRST,
	FRAG_LATER,
};

enum icmp_kind {
	ICMP_KIND_NONE,
	ICMP_KIND_REQUEST,
	ICMP_KIND_REPLY,
	ICMP_KIND_ERROR,
	ICMP_KIND_NEIGHBOUR, /* neighbour discovery and multicast listener reports */
	ICMP_KIND_OTHER,
};

struct packet {
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 l4;     /* offset of the transport header in the skb */
	__u32 length; /* octets from the IP header on */
	__u32 frag_id;
	__u16 frag_offset; /* octets */
	__u16 frag_length; /* octets of payload in this fragment */
	__u8 sport[2];	   /* network order; ICMP echo: the identifier in both */
	__u8 dport[2];
	__u8 family;
	__u8 proto;
	__u8 fragment;
	__u8 icmp; /* enum icmp_kind */
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 tcp_flags;
	__u8 arp;
	__u8 frag_proto; /* what the fragment says that it carries */
	__u8 frag_more;	 /* others follow */
} __attribute__((aligned(8)));

static __always_inline __u16 be16(const __u8 *b)
{
	return (__u16)(b[0] << 8 | b[1]);
}

static __always_inline bool same16(const __u8 *a, const __u8 *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* ::ffff:a.b.c.d */
static __always_inline void mapped(__u8 *to, const __u8 *v4)
{
	__builtin_memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, v4, 4);
}

static __always_inline __u8 icmp_kind(__u8 family, __u8 type)
{
	if (family == 4) {
		switch (type) {
		case 8:
			return ICMP_KIND_REQUEST;
		case 0:
			return ICMP_KIND_REPLY;
		case 3:
		case 4:
		case 11:
		case 12:
			return ICMP_KIND_ERROR;
		}
		return ICMP_KIND_OTHER;
	}
	switch (type) {
	case 128:
		return ICMP_KIND_REQUEST;
	case 129:
		return ICMP_KIND_REPLY;
	case 1 ... 4:
		return ICMP_KIND_ERROR;
	case 131 ... 133: /* listener report, done; router solicitation */
	case 135:	  /* neighbour solicitation */
	case 136:	  /* neighbour advertisement */
	case 143:	  /* listener report v2 */
		return ICMP_KIND_NEIGHBOUR;
	}
	return ICMP_KIND_OTHER;
}

static __always_inline bool link_local(const __u8 *a)
{
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}

/* An address that no router forwards to: link-local, or multicast of that scope. */
static __always_inline bool on_link(const __u8 *a)
{
	return link_local(a) || (a[0] == 0xff && (a[1] & 0x0f) == 2);
}

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

/* IPv4 at offset `at`; `quoted` in an ICMP error, which may have cut it off. */
static __always_inline int parse_ip4(struct __sk_buff *skb, struct packet *p, __u32 at, bool quoted)
{
	__u8 h[20];
	__u32 ihl, total, frag;

	if (bpf_skb_load_bytes(skb, at, h, sizeof(h)))
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

static __always_inline int parse_ip6(struct __sk_buff *skb, struct packet *p, __u32 at, bool quoted)
{
	__u8 h[40], x[8];
	__u32 off = at + 40, payload, end;
	__u8 next;

	if (bpf_skb_load_bytes(skb, at, h, sizeof(h)))
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
	end = quoted ? skb->len : off + payload;
	next = h[6];
	for (int i = 0; i <= MAX_EXT_HEADERS; i++) {
		switch (next) {
		case 0:	 /* hop-by-hop */
		case 43: /* routing */
		case 60: /* destination options */
			if (bpf_skb_load_bytes(skb, off, x, 4))
				return DROP_INVALID_PACKET;
			/* segments left: it is for an address that is not the one judged */
			if (next == 43 && x[3])
				return DROP_EXT_HEADERS;
			next = x[0];
			off += (x[1] + 1) * 8;
			break;
		case 44: /* fragment */
			if (bpf_skb_load_bytes(skb, off, x, 8))
				return DROP_INVALID_PACKET;
			next = x[0];
			off += 8;
			if (fragment_header(p, x, off, end))
				return DROP_INVALID_PACKET;
			if (p->fragment == FRAG_LATER) {
				p->proto = next;
				p->l4 = off;
				return quoted ? DROP_NONE : check_fragment(p);
			}
			break;
		case 51: /* authentication header */
			if (bpf_skb_load_bytes(skb, off, x, 2))
				return DROP_INVALID_PACKET;
			next = x[0];
			off += (x[1] + 2) * 4;
			break;
		case 135: /* mobility */
		case 139: /* host identity */
		case 140: /* shim6 */
		case 253:
		case 254:
			return DROP_EXT_HEADERS;
		default:
			p->proto = next;
			p->l4 = off;
			return parse_l4(skb, p, end, quoted);
		}
	}
	return DROP_EXT_HEADERS;
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
