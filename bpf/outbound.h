/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Way 3.2 to 3.6 for what an endpoint sends: its source, conntrack, the policy, counters and events. */
#ifndef FQDNLAB_OUTBOUND_H
#define FQDNLAB_OUTBOUND_H

#include "conntrack.h"
#include "events.h"
#include "frag.h"
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

/* Way 2.2.  Never a fragment: the proxy would see a whole question that was never judged whole. */
static __always_inline int redirect(struct __sk_buff *skb, const struct packet *p, struct decision *d, __u32 ep_id)
{
	struct node_config *c = settings();

	if (!c || !c->tproxy)
		d->reason = steer(skb, p);
	if (d->reason)
		return drop(p, d, ep_id, DIR_EGRESS);
	skb->mark = MARK_TO_PROXY;
	count(&rule_counters, d->rule, p->length);
	if (p->proto == PROTO_TCP ? bare_syn(p) : c && c->trace_udp_redirects)
		emit(p, d, ep_id, KINDS(EVENT_NEW_FLOW, DIR_EGRESS, 0));
	return TC_NEXT;
}

/* The verdict on a first fragment rules the rest; `d->reason` says if it cannot be kept. */
static __always_inline void keep_first(const struct packet *p, __u32 ep_id, struct decision *d, __u64 now)
{
	int reason;

	if (p->fragment != FRAG_FIRST)
		return;
	if (d->verdict == VERDICT_REDIRECT) { /* what follows it is dropped alike */
		d->verdict = VERDICT_DENY;
		d->reason = DROP_FRAG_INVALID;
	}
	reason = frag_keep(p, ep_id, d, now);
	if (reason && d->verdict != VERDICT_DENY) {
		d->verdict = VERDICT_DENY;
		d->reason = reason;
	}
}

/* A packet that opens a flow, or goes on in the direction that opened it: today's policy decides. */
static __always_inline int judge_opener(struct __sk_buff *skb, struct packet *p, struct endpoint_info *ep, void *table,
					const struct ct_key *k, struct ct_value *v, __u64 now)
{
	struct node_config *c = settings();
	__u64 epoch = c ? c->epoch : 0;
	struct decision d = {};
	bool known, told;

	known = v && v->dir == DIR_EGRESS && !ct_reopens(v, p);
	told = known && v->epoch == epoch; /* judged before, and nothing has changed since */
	if (told) {
		d.verdict = VERDICT_ALLOW;
		d.rule = v->rule;
	} else {
		judge(ep, p, known, &d);
	}
	keep_first(p, ep->id, &d, now);
	if (d.verdict == VERDICT_DENY)
		return drop(p, &d, ep->id, DIR_EGRESS);
	if (d.verdict == VERDICT_REDIRECT)
		return redirect(skb, p, &d, ep->id);
	count(&rule_counters, d.rule, p->length);
	if (known) {
		bool other = v->rule != d.rule;

		ct_touch(v, p, true, now);
		if (told)
			return TC_NEXT;
		v->epoch = epoch;
		v->rule = d.rule;
		v->identity = d.identity;
		if (other)
			emit(p, &d, ep->id, KINDS(EVENT_NEW_FLOW, DIR_EGRESS, 0));
		return TC_NEXT;
	}
	if (ct_open(table, k, p, DIR_EGRESS, d.rule, d.identity, epoch, now)) {
		d.reason = DROP_CT_INSERT_FAILED;
		return drop(p, &d, ep->id, DIR_EGRESS);
	}
	emit(p, &d, ep->id, KINDS(EVENT_NEW_FLOW, DIR_EGRESS, 0));
	return TC_NEXT;
}

/* Way 3.3: a reply to what was opened towards the endpoint passes; a bare SYN replies to nothing. */
static __always_inline int judge_outbound(struct __sk_buff *skb, struct packet *p, struct endpoint_info *ep,
					  void *table, __u64 now)
{
	struct decision d = {.verdict = VERDICT_ALLOW};
	struct ct_value *v;
	struct ct_key k;

	ct_make_key(&k, p, true);
	v = ct_find(table, &k, now);
	if (!v || v->dir == DIR_EGRESS || bare_syn(p))
		return judge_opener(skb, p, ep, table, &k, v, now);
	keep_first(p, ep->id, &d, now);
	if (d.verdict == VERDICT_DENY)
		return drop(p, &d, ep->id, DIR_EGRESS);
	ct_touch(v, p, false, now);
	return TC_NEXT;
}

#endif
