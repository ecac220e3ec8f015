/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The kernel ABI of fqdnlab: every map key, map value and event that crosses between the BPF
 * programs and user space.  Its Python mirror is fqdnlab/datapath/abi.py; a test compares the two
 * through BTF.  Addresses are 16 octets everywhere: IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
 * Ports in keys are in network order, elsewhere in host order.  Times are CLOCK_BOOTTIME, ns. */
#ifndef FQDNLAB_ABI_H
#define FQDNLAB_ABI_H

#define FQDNLAB_ABI_VERSION 1

/* Sizes a lab may change before loading (bpf_map__set_max_entries); these are the small defaults. */
#define MAX_ENDPOINTS 1024 /* endpoint ids are 1..MAX_ENDPOINTS-1 */
#define MAX_IPCACHE 16384
#define MAX_CIDRS 4096
#define MAX_POLICY 16384
#define MAX_RULES 8192
#define MAX_CT_PER_ENDPOINT 4096
#define MAX_FRAGMENTS 1024
#define EVENTS_BYTES (1 << 20)
#define MAX_DNS_SOCKS (65536 * 4)

/* skb marks; routing in the node's namespace acts on them */
#define MARK_TO_PROXY 0x200   /* deliver locally: steered to a proxy socket */
#define MARK_FROM_PROXY 0x300 /* set by the proxy (SO_MARK) on its replies: passed, not tracked */

/* Reserved identities, Cilium's numbers (pkg/identity). */
#define IDENTITY_ANY 0 /* in policy keys: any identity */
#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2
#define IDENTITY_WORLD_IPV4 9
#define IDENTITY_WORLD_IPV6 10

enum verdict {
	VERDICT_NONE = 0, /* no entry */
	VERDICT_ALLOW = 1,
	VERDICT_REDIRECT = 2,
	VERDICT_DENY = 3, /* numbers rise with precedence */
};

/* Drop reasons, Cilium's numbers where Cilium has one (flow.DropReason). */
enum drop_reason {
	DROP_NONE = 0,
	DROP_INVALID_SOURCE_IP = 132,
	DROP_POLICY_DENIED = 133, /* no rule allows it */
	DROP_INVALID_PACKET = 134,
	DROP_CT_UNKNOWN_L4 = 137,
	DROP_UNSUPPORTED_L3 = 139,
	DROP_UNKNOWN_L4 = 142,
	DROP_CT_INSERT_FAILED = 155,
	DROP_FRAG_NOT_FOUND = 175,
	DROP_POLICY_DENY = 181, /* a deny rule decided */
	/* fqdnlab's own, above Cilium's numbers, below 256 */
	DROP_NO_PROXY = 240,	 /* redirected, and no proxy socket is there: fail closed */
	DROP_INTERNAL = 241,	 /* to the node's or the proxy's internal addresses */
	DROP_EXT_HEADERS = 242,	 /* IPv6 extension headers: unknown, more than 8, or routing to elsewhere */
	DROP_FRAG_INVALID = 243, /* tiny, overlapping, or a fragment of redirected DNS */
	DROP_ZOMBIE_NEW = 244,	 /* every name of the address that would allow it has expired */
	DROP_STEERING = 245,	 /* sk_assign refused */
};

/* How the deciding policy entry matched: Cilium's numbers (flow.Flow.policy_match_type). */
enum policy_match {
	MATCH_NONE = 0,
	MATCH_L3_ONLY = 1,    /* identity */
	MATCH_L3_L4 = 2,      /* identity, protocol and port */
	MATCH_L4_ONLY = 3,    /* protocol and port */
	MATCH_ALL = 4,	      /* anything */
	MATCH_L3_PROTO = 5,   /* identity and protocol */
	MATCH_PROTO_ONLY = 6, /* protocol */
};

enum event_type {
	EVENT_NEW_FLOW = 1, /* first packet of a flow, or first after its verdict changed */
	EVENT_DROP = 2,
};

enum direction {
	DIR_EGRESS = 0,	 /* opened by the endpoint */
	DIR_INGRESS = 1, /* opened towards the endpoint */
};

/* endpoints: HASH, key __u32 ifindex of the node's side of the veth */
#define ENDPOINT_ENFORCED 1u /* selected by a policy: egress default deny or at least judged */
struct endpoint_info {
	__u32 id;	 /* 1..MAX_ENDPOINTS-1: index of its conntrack table */
	__u32 policy_id; /* the compiled policy that it shares with others; 0: none */
	__u32 identity;
	__u32 flags;
	__u8 ip4[16]; /* v4-mapped, or zeros */
	__u8 ip6[16]; /* or zeros */
};

/* ipcache_host: HASH, key struct ip16;  ipcache_cidr: LPM_TRIE, key struct cidr_key */
struct ip16 {
	__u8 addr[16];
};
struct cidr_key {
	__u32 prefixlen; /* 0..128, on the mapped form */
	__u8 addr[16];
};
#define IPCACHE_INTERNAL 1u /* the node's or the proxy's own: endpoints may not talk to it */
struct ipcache_value {
	__u32 identity;	    /* judges new flows */
	__u32 est_identity; /* judges established flows: also has the selectors that are zombies */
	__u32 flags;
	__u32 pad;
};

/* policy: LPM_TRIE.  For one (policy, identity), the longest entry over protocol and port decides. */
#define POLICY_EXACT_BITS 64 /* policy_id and identity always match exactly */
struct policy_key {
	__u32 prefixlen;   /* POLICY_EXACT_BITS + 0 | 8 | 8..24 */
	__u8 policy_id[4]; /* network order */
	__u8 identity[4];  /* network order; 0: any */
	__u8 proto;
	__u8 dport[2]; /* network order; ICMP: the type */
	__u8 pad;
};
struct policy_value {
	__u32 rule;	  /* index of the deciding rule, 0: none named */
	__u16 proxy_port; /* REDIRECT: the asked port, host order */
	__u8 verdict;	  /* enum verdict */
	__u8 bits;	  /* 0..24: how many protocol and port bits the entry fixes */
};

/* conntrack: ARRAY_OF_MAPS `ct`, index endpoint id, of LRU_HASH (one for each endpoint). */
struct ct_key {
	__u8 remote[16];
	__u8 local_port[2];  /* network order; ICMP echo: the identifier */
	__u8 remote_port[2]; /* network order; ICMP echo: 0, who asks (enum direction); other ICMP: 1, type */
	__u8 proto;
	__u8 pad[3];
};
#define CT_SEEN_REPLY 1u
#define CT_FIN_LOCAL 2u
#define CT_FIN_REMOTE 4u
#define CT_RST 8u
#define CT_ESTABLISHED 16u
struct ct_value {
	__u64 expires;	/* absolute; an entry past it counts as absent */
	__u64 epoch;	/* node_config.epoch at which the verdict below was made */
	__u32 rule;	/* the rule that allowed it */
	__u32 identity; /* of the remote address, when judged */
	__u32 flags;
	__u8 dir; /* enum direction: who opened it */
	__u8 pad[3];
	__u64 last;
	__u64 created;
};

/* node_config: ARRAY of one */
struct node_config {
	__u64 epoch;		   /* raised by the agent after it changed what could change a verdict */
	__u32 uplink;		   /* ifindex of the node's uplink */
	__u32 trace_udp_redirects; /* 1: an event for each redirected UDP question too */
	__u32 tproxy;		   /* 1: mark what is redirected, and leave the choice of a socket to TPROXY */
	__u32 pad;
};

/* rule_counters: PERCPU_ARRAY by rule index; drop_counters: PERCPU_ARRAY by reason (256) */
struct counter {
	__u64 packets;
	__u64 bytes;
};

/* frags: LRU_HASH */
struct frag_key {
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 id;
	__u32 ep_id;
	__u8 proto; /* as the fragment itself says */
	__u8 pad[7];
};
#define FRAG_PIECES 8
struct frag_value {
	__u64 expires;
	__u32 rule;
	__u32 busy;   /* a CPU has it in hand: LRU maps know no bpf_spin_lock */
	__u32 seen;   /* octets that have passed */
	__u32 total;  /* octets of the whole, once the last fragment has passed; else 0 */
	__u8 verdict; /* ALLOW or DENY */
	__u8 reason;
	__u8 pad[6];
	__u16 from[FRAG_PIECES]; /* what has passed: [from, to), grown at either end */
	__u16 to[FRAG_PIECES];
};

/* events: RINGBUF;  lost: PERCPU_ARRAY of one __u64 (events that found no room) */
struct flow_event {
	__u64 time;
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 ep_id;
	__u32 identity; /* of the remote address */
	__u32 rule;
	__u32 length; /* octets of the packet, from its IP header */
	__u16 sport;
	__u16 dport;
	__u16 proxy_port;
	__u8 type;    /* enum event_type */
	__u8 verdict; /* enum verdict: ALLOW, REDIRECT, DENY */
	__u8 reason;  /* enum drop_reason */
	__u8 family;  /* 4 or 6 */
	__u8 proto;
	__u8 dir;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 is_reply;
	__u8 match; /* enum policy_match */
	__u8 pad[7];
};

/* dns_socks: SOCKMAP, key __u32 = port * 4 + (TCP ? 2 : 0) + (IPv6 ? 1 : 0) */
#endif
