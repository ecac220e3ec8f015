// Cilium's DNS proxy as the agent runs it, in a process of its own: its package, its defaults (Helm's:
// transparent mode), one endpoint, one server, a policy of given names.  What the agent does with an
// answer (mapping, identities, policy maps) is left out: this is the proxy's floor.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cilium/cilium/pkg/endpoint"
	"github.com/cilium/cilium/pkg/fqdn/dnsproxy"
	"github.com/cilium/cilium/pkg/fqdn/re"
	"github.com/cilium/cilium/pkg/fqdn/restore"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	"github.com/cilium/cilium/pkg/logging"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/types"
	"github.com/cilium/cilium/pkg/source"
	"github.com/cilium/cilium/pkg/u8proto"
	"github.com/cilium/cilium/standalone-dns-proxy/pkg/client"
)

const (
	endpointID     = 1
	endpointNumber = identity.NumericIdentity(1001)
	serverNumber   = identity.NumericIdentity(1002)
)

// lookups knows one endpoint and one server.
type lookups struct {
	endpoint netip.Addr
	server   netip.Addr
	known    *endpoint.Endpoint
}

func (l *lookups) LookupSecIDByIP(ip netip.Addr) (ipcache.Identity, bool) {
	if ip == l.server {
		return ipcache.Identity{ID: serverNumber, Source: source.Local}, true
	}
	return ipcache.Identity{}, false
}

func (l *lookups) LookupByIdentity(identity.NumericIdentity) []string { return nil }

func (l *lookups) LookupRegisteredEndpoint(ip netip.Addr) (*endpoint.Endpoint, bool, error) {
	if ip == l.endpoint {
		return l.known, false, nil
	}
	return nil, false, fmt.Errorf("no endpoint at %s", ip)
}

func ignore(time.Time, *endpoint.Endpoint, string, identity.NumericIdentity, netip.AddrPort,
	*dnsproxy.MsgDetails, string, bool, *dnsproxy.ProxyRequestContext) error {
	return nil
}

func rules(path string) (policy.L7DataMap, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var names []api.PortRuleDNS
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		names = append(names, api.PortRuleDNS{MatchName: lines.Text()})
	}
	selector := &client.DNSServerIdentity{Identities: identity.NumericIdentitySlice{serverNumber}}
	return policy.L7DataMap{selector: &policy.PerSelectorPolicy{
		Verdict: types.Allow,
		L7Rules: api.L7Rules{DNS: names},
	}}, lines.Err()
}

func serve(port int, endpointAddress, serverAddress, names string) error {
	// slogloggercheck: the logger that Cilium's own programs begin with.
	logger := logging.DefaultSlogLogger
	option.Config.DNSProxyEnableTransparentMode = true
	option.Config.DNSProxySocketLingerTimeout = 10
	re.Resize(logger, 1024) // fqdn-regex-compile-lru-size
	known := &lookups{
		endpoint: netip.MustParseAddr(endpointAddress),
		server:   netip.MustParseAddr(serverAddress),
		known: &endpoint.Endpoint{
			ID:               endpointID,
			SecurityIdentity: &identity.Identity{ID: endpointNumber},
		},
	}
	proxy := dnsproxy.NewDNSProxy(dnsproxy.DNSProxyConfig{
		Logger:               logger,
		IPv4:                 true,
		EnableDNSCompression: true,
		MaxRestoreDNSIPs:     1000,
	}, known, ignore)
	allowed, err := rules(names)
	if err != nil {
		return err
	}
	for _, proto := range []u8proto.U8proto{u8proto.UDP, u8proto.TCP} {
		if _, err := proxy.UpdateAllowed(endpointID, restore.MakeV2PortProto(53, proto), allowed); err != nil {
			return err
		}
	}
	if err := proxy.Listen(uint16(port)); err != nil {
		return err
	}
	defer proxy.Cleanup()
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	return nil
}

func main() {
	port := flag.Int("port", 0, "where it listens, on 127.0.0.1")
	endpointAddress := flag.String("endpoint", "", "the endpoint's address")
	serverAddress := flag.String("server", "", "the server's address")
	names := flag.String("names", "", "file of allowed names, a line each")
	flag.Parse()
	if err := serve(*port, *endpointAddress, *serverAddress, *names); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
