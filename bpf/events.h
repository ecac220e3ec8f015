/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 3.6: counters, and events for new flows and drops; what finds no room is counted. */
#ifndef FQDNLAB_EVENTS_H
#define FQDNLAB_EVENTS_H

#include "maps.h"
#include "parse.h"

struct decision {
	__u32 rule;
	__u32 identity;
	__u16 proxy_port;
	__u8 verdict;
	__u8 reason;
	__u8 match; /* enum policy_match */
};

static __always_inline void count(void *map, __u32 index, __u32 octets)
{
	struct counter *c = bpf_map_lookup_elem(map, &index);

	if (!c)
		return;
	c->packets++;
	c->bytes += octets;
}

/* Not inlined, so that the object's BTF has the type. */
static __noinline void fill(struct flow_event *e, const struct packet *p, const struct decision *d, __u32 ep_id,
			    __u32 kinds)
{
	e->time = bpf_ktime_get_boot_ns();
	__builtin_memcpy(e->saddr, p->saddr, 16);
	__builtin_memcpy(e->daddr, p->daddr, 16);
	e->ep_id = ep_id;
	e->identity = d->identity;
	e->rule = d->rule;
	e->length = p->length;
	e->sport = be16(p->sport);
	e->dport = be16(p->dport);
	e->proxy_port = d->proxy_port;
	e->type = kinds & 0xff;
	e->verdict = d->verdict;
	e->reason = d->reason;
	e->family = p->family;
	e->proto = p->proto;
	e->dir = kinds >> 8 & 0xff;
	e->tcp_flags = p->tcp_flags;
	e->icmp_type = p->icmp_type;
	e->icmp_code = p->icmp_code;
	e->is_reply = kinds >> 16 & 0xff;
	e->match = d->match;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
}

static __noinline void emit(const struct packet *p, const struct decision *d, __u32 ep_id, __u32 kinds)
{
	struct flow_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		__u32 zero = 0;
		__u64 *n = bpf_map_lookup_elem(&lost, &zero);

		if (n)
			(*n)++;
		return;
	}
	fill(e, p, d, ep_id, kinds);
	bpf_ringbuf_submit(e, 0);
}

/* type, direction and whether it is a reply, in one argument of `emit` */
#define KINDS(type, dir, reply) ((type) | (dir) << 8 | (reply) << 16)

#endif
