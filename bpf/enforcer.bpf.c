// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/* The enforcer: judges every packet of an endpoint, in the kernel, whoever else is alive.
 *
 * from_endpoint   tc ingress of the node's side of the veth: what the endpoint sends (ways 2 and 3)
 * to_endpoint     tc egress of it: what reaches the endpoint; tracked, not policed
 * from_uplink     tc ingress of the uplink: answers to the proxy's own questions (way 2.5)
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "outbound.h"

/* Ways 2.1 and 3.1: the endpoint's packet arrives. */
SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint_info *ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	__u64 now = bpf_ktime_get_boot_ns();
	struct decision d = {};
	struct packet p;
	void *table;
	__u32 id;

	if (!ep)
		return TC_SHOT; /* attached, but nobody's: fail closed */
	id = ep->id;
	d.reason = parse(skb, &p);
	if (d.reason)
		return drop(&p, &d, id, DIR_EGRESS);
	if (p.arp)
		return TC_NEXT;
	if (!source_is_its_own(ep, &p)) {
		d.reason = DROP_INVALID_SOURCE_IP;
		return drop(&p, &d, id, DIR_EGRESS);
	}
	if (p.icmp == ICMP_KIND_NEIGHBOUR)
		return TC_NEXT;
	table = bpf_map_lookup_elem(&ct, &id);
	if (!table) {
		d.reason = DROP_CT_INSERT_FAILED;
		return drop(&p, &d, id, DIR_EGRESS);
	}
	if (p.fragment == FRAG_LATER) {
		frag_judge(&p, id, &d, now);
		if (d.verdict != VERDICT_ALLOW)
			return drop(&p, &d, id, DIR_EGRESS);
		count(&rule_counters, d.rule, p.length);
		return TC_NEXT;
	}
	if (p.icmp == ICMP_KIND_ERROR && ep->flags & ENDPOINT_ENFORCED) {
		if (ct_related(skb, &p, table, 1))
			return TC_NEXT;
		d.reason = DROP_POLICY_DENIED;
		return drop(&p, &d, id, DIR_EGRESS);
	}
	return judge_outbound(skb, &p, ep, table, now);
}

/* A datagram from a server whose questions are redirected, which no question of the endpoint's own led to (the
 * proxy's upstream, late): were it tracked, the endpoint could ask that server past the proxy. */
static __always_inline bool past_the_proxy(const struct packet *p, const struct endpoint_info *ep, __u32 identity)
{
	struct decision d;

	if (!(ep->flags & ENDPOINT_ENFORCED))
		return false;
	policy_find(ep->policy_id, identity, p->proto, p->sport, &d);
	return d.verdict == VERDICT_REDIRECT;
}

/* What reaches the endpoint is not policed, but tracked, so that its replies pass. */
static __always_inline int track_inbound(const struct packet *p, struct endpoint_info *ep, void *table, __u64 now)
{
	struct decision d = {.verdict = VERDICT_ALLOW, .match = MATCH_ALL};
	struct ipcache_value c;
	struct ct_value *v;
	struct ct_key k;

	ct_make_key(&k, p, false);
	v = ct_find(table, &k, now);
	if (v && (v->dir == DIR_EGRESS || !ct_reopens(v, p))) {
		ct_touch(v, p, v->dir == DIR_INGRESS, now);
		return TC_NEXT;
	}
	/* Only a SYN opens: a stray segment must not turn the endpoint's own packets into replies. */
	if (p->proto == PROTO_TCP && !bare_syn(p))
		return TC_NEXT;
	if (p->icmp == ICMP_KIND_REPLY || p->icmp == ICMP_KIND_OTHER)
		return TC_NEXT;
	ipcache_find(p, p->saddr, &c);
	d.identity = c.identity;
	if (past_the_proxy(p, ep, c.identity))
		return TC_NEXT;
	if (!ct_open(table, &k, p, DIR_INGRESS, 0, c.identity, 0, now))
		emit(p, &d, ep->id, KINDS(EVENT_NEW_FLOW, DIR_INGRESS, 0));
	return TC_NEXT;
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint_info *ep;
	struct decision d = {};
	struct packet p;
	void *table;
	__u32 id;

	if (skb->mark == MARK_FROM_PROXY)
		return TC_NEXT; /* way 2.10: the proxy's answer */
	ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	if (!ep)
		return TC_SHOT;
	id = ep->id;
	if (parse(skb, &p) || p.arp || p.fragment == FRAG_LATER || p.icmp == ICMP_KIND_NEIGHBOUR)
		return TC_NEXT;
	table = bpf_map_lookup_elem(&ct, &id);
	if (!table)
		return TC_NEXT;
	if (p.icmp == ICMP_KIND_ERROR) {
		if (ct_related(skb, &p, table, 0))
			return TC_NEXT;
		d.reason = DROP_POLICY_DENIED;
		return drop(&p, &d, id, DIR_INGRESS);
	}
	return track_inbound(&p, ep, table, bpf_ktime_get_boot_ns());
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct packet p;

	if (parse(skb, &p) || p.arp || p.fragment != FRAG_NONE)
		return TC_NEXT;
	if ((p.proto == PROTO_UDP || p.proto == PROTO_TCP) && steer_answer(skb, &p))
		skb->mark = MARK_TO_PROXY;
	return TC_NEXT;
}

char _license[] SEC("license") = "GPL";
