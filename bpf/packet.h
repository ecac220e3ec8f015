/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* A packet as the enforcer sees it, and what can be said of its fields alone. */
#ifndef FQDNLAB_PACKET_H
#define FQDNLAB_PACKET_H

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

#endif
