// Policycheck answers, with Cilium's own code, what fqdnlab answers with its own: does a selector
// match a name, is a policy document accepted.  One JSON request a line in, one JSON answer a line out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/cilium/dns"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cilium/cilium/pkg/fqdn/dnsproxy"
	"github.com/cilium/cilium/pkg/fqdn/matchpattern"
	"github.com/cilium/cilium/pkg/k8s"
	v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2/validator"
	slimnet "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
)

type request struct {
	// One of the two.
	Match    *matchRequest `json:"match"`
	Document string        `json:"document"`
}

type matchRequest struct {
	MatchName    string   `json:"matchName"`
	MatchPattern string   `json:"matchPattern"`
	Names        []string `json:"names"`
}

type answer struct {
	Valid    bool   `json:"valid"`             // selector: its parser takes it; document: schema and parser do
	Error    string `json:"error,omitempty"`   // why not
	ToFQDNs  []bool `json:"toFQDNs,omitempty"` // one a name
	RulesDNS []bool `json:"rulesDNS,omitempty"`
}

type checker struct {
	logger    *slog.Logger
	validator *validator.NPValidator
}

func main() {
	logger := slog.New(slog.DiscardHandler)
	v, err := validator.NewNPValidator(logger)
	if err != nil {
		fmt.Fprintln(os.Stderr, "policycheck:", err)
		os.Exit(1)
	}
	c := checker{logger, v}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	enc := json.NewEncoder(out)
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, "policycheck:", err)
			os.Exit(1)
		}
		var a answer
		if r.Match != nil {
			a = match(*r.Match)
		} else {
			a = c.document(r.Document)
		}
		if err := enc.Encode(a); err != nil {
			os.Exit(1)
		}
	}
}

// match asks the code that gives a learned name its identity (toFQDNs) and the code with which the
// DNS proxy judges a question (rules.dns).
func match(m matchRequest) answer {
	selector := api.FQDNSelector{MatchName: m.MatchName, MatchPattern: m.MatchPattern}
	rule := api.Rule{
		EndpointSelector: api.WildcardEndpointSelector,
		Egress:           []api.EgressRule{{ToFQDNs: api.FQDNSelectorSlice{selector}}},
	}
	if err := rule.Sanitize(); err != nil {
		return answer{Error: err.Error()}
	}
	learned, err := selector.ToRegex()
	if err != nil {
		return answer{Error: err.Error()}
	}
	pattern := dnsproxy.GeneratePattern(&policy.PerSelectorPolicy{
		L7Rules: api.L7Rules{DNS: []api.PortRuleDNS{api.PortRuleDNS(selector)}},
	})
	asked, err := regexp.Compile(pattern)
	if err != nil {
		return answer{Error: err.Error()}
	}
	a := answer{Valid: true}
	for _, name := range m.Names {
		name = strings.ToLower(dns.Fqdn(name))
		a.ToFQDNs = append(a.ToFQDNs, learned.MatchString(name))
		all := pattern == matchpattern.MatchAllAnchoredPattern
		a.RulesDNS = append(a.RulesDNS, all || asked.MatchString(name))
	}
	return a
}

// document puts one YAML document through the schema that the API server applies and through the
// parser of the agent.  The parser relies on the API server for NetworkPolicy and panics where that
// would have refused.
func (c checker) document(text string) (a answer) {
	defer func() {
		if problem := recover(); problem != nil {
			a = answer{Error: fmt.Sprint("panic: ", problem)}
		}
	}()
	if err := c.check(text); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Valid: true}
}

func (c checker) check(text string) error {
	var u unstructured.Unstructured
	if err := yaml.UnmarshalStrict([]byte(text), &u.Object); err != nil {
		return err
	}
	switch u.GetAPIVersion() + " " + u.GetKind() {
	case "cilium.io/v2 CiliumNetworkPolicy":
		if err := c.validator.ValidateCNP(&u); err != nil {
			return err
		}
		var p v2.CiliumNetworkPolicy
		if err := yaml.Unmarshal([]byte(text), &p); err != nil {
			return err
		}
		if p.Namespace == "" {
			p.Namespace = "default"
		}
		_, err := p.Parse(c.logger, "default")
		return err
	case "cilium.io/v2 CiliumClusterwideNetworkPolicy":
		if err := c.validator.ValidateCCNP(&u); err != nil {
			return err
		}
		var p v2.CiliumClusterwideNetworkPolicy
		if err := yaml.Unmarshal([]byte(text), &p); err != nil {
			return err
		}
		_, err := p.Parse(c.logger, "default")
		return err
	case "networking.k8s.io/v1 NetworkPolicy":
		var p slimnet.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
			return err
		}
		_, err := k8s.ParseNetworkPolicy(c.logger, "default", &p)
		return err
	}
	return fmt.Errorf("kind %q of %q is not a policy", u.GetKind(), u.GetAPIVersion())
}
