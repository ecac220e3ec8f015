// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/* For the benchmark alone, never attached: the enforcer's own verdict on packets whose address is drawn here,
 * in the kernel, out of 2^20 installed ones (11.0.0.0/12).  Each program is run by BPF_PROG_TEST_RUN on a packet
 * of the endpoint at the loopback's ifindex. */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "outbound.h"

#define FIRST_ADDRESS 0x0b000000u /* 11.0.0.0 */
#define ADDRESSES (1u << 20)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_steps SEC(".maps");

static __always_inline void send_to(struct packet *p, __u32 number)
{
	be32_put(p->daddr + 12, FIRST_ADDRESS + (number & (ADDRESSES - 1)));
}

/* As in from_endpoint, up to the address. */
static __always_inline int begin(struct __sk_buff *skb, struct packet *p, struct endpoint_info **ep, void **table)
{
	__u32 ifindex = skb->ifindex, id;

	*ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	if (!*ep || parse(skb, p) || !source_is_its_own(*ep, p))
		return TC_SHOT;
	id = (*ep)->id;
	*table = bpf_map_lookup_elem(&ct, &id);
	return *table ? TC_NEXT : TC_SHOT;
}

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TC_NEXT;
}

/* The packet as it is. */
SEC("tc")
int hot(struct __sk_buff *skb)
{
	struct endpoint_info *ep;
	struct packet p;
	void *table;

	if (begin(skb, &p, &ep, &table) != TC_NEXT)
		return TC_SHOT;
	return judge_outbound(skb, &p, ep, table, bpf_ktime_get_boot_ns());
}

/* One address after the other: so flows to all of them become known. */
SEC("tc")
int walk(struct __sk_buff *skb)
{
	struct endpoint_info *ep;
	struct packet p;
	void *table;
	__u32 zero = 0, *step = bpf_map_lookup_elem(&bench_steps, &zero);

	if (!step || begin(skb, &p, &ep, &table) != TC_NEXT)
		return TC_SHOT;
	send_to(&p, (*step)++);
	return judge_outbound(skb, &p, ep, table, bpf_ktime_get_boot_ns());
}

/* A packet of the known flow to a random one of them. */
SEC("tc")
int known(struct __sk_buff *skb)
{
	struct endpoint_info *ep;
	struct packet p;
	void *table;

	if (begin(skb, &p, &ep, &table) != TC_NEXT)
		return TC_SHOT;
	send_to(&p, bpf_get_prandom_u32());
	return judge_outbound(skb, &p, ep, table, bpf_ktime_get_boot_ns());
}

/* The same, after something has changed: ipcache and policy are asked again, each time. */
SEC("tc")
int anew(struct __sk_buff *skb)
{
	struct endpoint_info *ep;
	struct packet p;
	void *table;
	struct node_config *c = settings();

	if (!c || begin(skb, &p, &ep, &table) != TC_NEXT)
		return TC_SHOT;
	c->epoch++;
	send_to(&p, bpf_get_prandom_u32());
	return judge_outbound(skb, &p, ep, table, bpf_ktime_get_boot_ns());
}

/* A packet that opens a flow, to a random one of them from a random port: an event and a conntrack entry each. */
SEC("tc")
int opening(struct __sk_buff *skb)
{
	struct endpoint_info *ep;
	struct packet p;
	void *table;
	__u32 drawn;

	if (begin(skb, &p, &ep, &table) != TC_NEXT)
		return TC_SHOT;
	drawn = bpf_get_prandom_u32();
	__builtin_memcpy(p.sport, &drawn, 2);
	send_to(&p, bpf_get_prandom_u32());
	return judge_outbound(skb, &p, ep, table, bpf_ktime_get_boot_ns());
}

char _license[] SEC("license") = "GPL";
