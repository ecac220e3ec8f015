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

#include "abi.h"
#include "conntrack.h"
#include "events.h"
#include "frag.h"
#include "maps.h"
#include "parse.h"
#include "steer.h"
#include "verdict.h"

#define TC_NEXT -1 /* TCX_NEXT, TC_ACT_UNSPEC: others in the chain may still speak */
#define TC_SHOT 2

static __always_inline struct node_config *settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&node_config, &zero);
}

static __always_inline int drop(const struct packet *p, struct decision *d, __u32 ep_id, __u8 dir)
{
	d->verdict = VERDICT_DENY;
	count(&drop_counters, d->reason, p->length);
	if (d->rule)
		count(&rule_counters, d->rule, p->length);
	emit(p, d, ep_id, KINDS(EVENT_DROP, dir, 0));
	return TC_SHOT;
}

static __always_inline bool link_local(const __u8 *a)
{
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
}

static __always_inline bool unspecified(const __u8 *a)
{
	const __u64 *x = (const __u64 *)a;

	return !x[0] && !x[1];
}

/* Way 3.2: only its own addresses; for neighbour discovery also a link-local one or none. */
static __always_inline bool source_is_its_own(const struct endpoint_info *ep, const struct packet *p)
{
	if (p->family == 4)
		return same16(p->saddr, ep->ip4);
	if (same16(p->saddr, ep->ip6) && !unspecified(p->saddr))
		return true;
	return p->icmp == ICMP_KIND_NEIGHBOUR && (link_local(p->saddr) || unspecified(p->saddr));
}

/* Way 2.2.  Redirected: fragments cannot be (the proxy would see a whole question that was never judged whole). */
static __always_inline int redirect(struct __sk_buff *skb, const struct packet *p, struct decision *d, __u32 ep_id)
{
	struct node_config *c = settings();
	bool opens = p->proto != PROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

	if (p->fragment != FRAG_NONE)
		d->reason = DROP_FRAG_INVALID;
	else if (!c || !c->tproxy)
		d->reason = steer(skb, p);
	if (d->reason)
		return drop(p, d, ep_id, DIR_EGRESS);
	skb->mark = MARK_TO_PROXY;
	count(&rule_counters, d->rule, p->length);
	if (opens && (p->proto == PROTO_TCP || (c && c->trace_udp_redirects)))
		emit(p, d, ep_id, KINDS(EVENT_NEW_FLOW, DIR_EGRESS, 0));
	return TC_NEXT;
}

/* A packet that opens a flow, or goes on in the direction that opened it: today's policy decides. */
static __always_inline int judge_opener(struct __sk_buff *skb, struct packet *p, struct endpoint_info *ep, void *table,
					__u64 now)
{
	struct node_config *c = settings();
	__u64 epoch = c ? c->epoch : 0;
	struct decision d = {};
	struct ct_key k;
	struct ct_value *v;
	bool known;

	ct_make_key(&k, p, true, DIR_EGRESS);
	v = ct_find(table, &k, now);
	known = v && !ct_reopens(v, p);
	if (known && v->epoch == epoch) { /* judged before, and nothing has changed since */
		ct_touch(v, p, true, now);
		count(&rule_counters, v->rule, p->length);
		if (p->fragment == FRAG_FIRST) {
			d.verdict = VERDICT_ALLOW;
			d.rule = v->rule;
			frag_keep(p, ep->id, &d, now);
		}
		return TC_NEXT;
	}
	judge(ep, p, p->daddr, known, &d);
	if (p->fragment == FRAG_FIRST && d.verdict != VERDICT_REDIRECT)
		frag_keep(p, ep->id, &d, now);
	if (d.verdict == VERDICT_DENY)
		return drop(p, &d, ep->id, DIR_EGRESS);
	if (d.verdict == VERDICT_REDIRECT)
		return redirect(skb, p, &d, ep->id);
	count(&rule_counters, d.rule, p->length);
	if (known) {
		bool other = v->rule != d.rule;

		v->epoch = epoch;
		v->rule = d.rule;
		v->identity = d.identity;
		ct_touch(v, p, true, now);
		if (other)
			emit(p, &d, ep->id, KINDS(EVENT_NEW_FLOW, DIR_EGRESS, 0));
		return TC_NEXT;
	}
	if (ct_open(table, &k, p, d.rule, d.identity, 0, epoch, now)) {
		d.reason = DROP_CT_INSERT_FAILED;
		return drop(p, &d, ep->id, DIR_EGRESS);
	}
	emit(p, &d, ep->id, KINDS(EVENT_NEW_FLOW, DIR_EGRESS, 0));
	return TC_NEXT;
}

/* Ways 2.1 and 3.1: the endpoint's packet arrives. */
SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint_info *ep = bpf_map_lookup_elem(&endpoints, &ifindex);
	__u64 now = bpf_ktime_get_boot_ns();
	struct decision d = {};
	struct packet p;
	struct ct_value *v;
	struct ct_key k;
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
		return d.verdict == VERDICT_ALLOW ? TC_NEXT : drop(&p, &d, id, DIR_EGRESS);
	}
	if (p.icmp == ICMP_KIND_ERROR) {
		if (ct_related(skb, &p, table, 1))
			return TC_NEXT;
		d.reason = ep->flags & ENDPOINT_ENFORCED ? DROP_POLICY_DENIED : DROP_NONE;
		return d.reason ? drop(&p, &d, id, DIR_EGRESS) : TC_NEXT;
	}
	/* Way 3.3: a reply to what was opened towards the endpoint passes. */
	if (p.icmp != ICMP_KIND_REQUEST) {
		ct_make_key(&k, &p, true, DIR_INGRESS);
		v = ct_find(table, &k, now);
		if (v) {
			ct_touch(v, &p, false, now);
			if (p.fragment == FRAG_FIRST) {
				d.verdict = VERDICT_ALLOW;
				frag_keep(&p, id, &d, now);
			}
			return TC_NEXT;
		}
	}
	return judge_opener(skb, &p, ep, table, now);
}

/* What reaches the endpoint is not policed, but tracked, so that its replies pass. */
static __always_inline int track_inbound(const struct packet *p, struct endpoint_info *ep, void *table, __u64 now)
{
	struct decision d = {.verdict = VERDICT_ALLOW, .match = MATCH_ALL};
	struct ipcache_value c;
	struct ct_value *v;
	struct ct_key k;

	if (p->icmp != ICMP_KIND_REQUEST) {
		ct_make_key(&k, p, false, DIR_EGRESS);
		v = ct_find(table, &k, now);
		if (v) {
			ct_touch(v, p, false, now);
			return TC_NEXT;
		}
	}
	ct_make_key(&k, p, false, DIR_INGRESS);
	v = ct_find(table, &k, now);
	if (v && !ct_reopens(v, p)) {
		ct_touch(v, p, true, now);
		return TC_NEXT;
	}
	/* Only a SYN opens: a stray segment must not turn the endpoint's own packets into replies. */
	if (p->proto == PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return TC_NEXT;
	if (p->icmp == ICMP_KIND_REPLY || p->icmp == ICMP_KIND_OTHER)
		return TC_NEXT;
	ipcache_find(p, p->saddr, &c);
	d.identity = c.identity;
	if (!ct_open(table, &k, p, 0, c.identity, 0, 0, now))
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

char _license[] SEC("license") = "Dual BSD/GPL";
