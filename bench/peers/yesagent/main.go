// An agent for Cilium's Standalone DNS Proxy that hands it one policy and says yes to every mapping.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"

	pb "github.com/cilium/cilium/api/v1/standalone-dns-proxy"
)

const (
	endpointID     = 1
	endpointNumber = 1001
	serverNumber   = 1002
)

type agent struct {
	pb.UnimplementedFQDNDataServer
	snapshot *pb.PolicyState
}

func (a *agent) StreamPolicyState(stream pb.FQDNData_StreamPolicyStateServer) error {
	if err := stream.Send(a.snapshot); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func (a *agent) UpdateMappingRequest(context.Context, *pb.FQDNMapping) (*pb.UpdateMappingResponse, error) {
	return &pb.UpdateMappingResponse{Response: pb.ResponseCode_RESPONSE_CODE_NO_ERROR}, nil
}

func address(text string) [][]byte { return [][]byte{netip.MustParseAddr(text).AsSlice()} }

func snapshot(endpointAddress, serverAddress, path string) (*pb.PolicyState, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var names []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		names = append(names, lines.Text())
	}
	var servers []*pb.DNSServer
	for _, proto := range []uint32{17, 6} {
		servers = append(servers, &pb.DNSServer{
			DnsServerIdentity: serverNumber, DnsServerPort: 53, DnsServerProto: proto,
		})
	}
	return &pb.PolicyState{
		RequestId: "1",
		EgressL7DnsPolicy: []*pb.DNSPolicy{
			{SourceEndpointId: endpointID, DnsPattern: names, DnsServers: servers},
		},
		IdentityToEndpointMapping: []*pb.IdentityToEndpointMapping{
			{Identity: endpointNumber, EndpointInfo: []*pb.EndpointInfo{{Id: endpointID, Ip: address(endpointAddress)}}},
			{Identity: serverNumber, EndpointInfo: []*pb.EndpointInfo{{Id: 0, Ip: address(serverAddress)}}},
		},
	}, lines.Err()
}

func serve(listen, endpointAddress, serverAddress, names string) error {
	state, err := snapshot(endpointAddress, serverAddress, names)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	pb.RegisterFQDNDataServer(server, &agent{snapshot: state})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		server.Stop()
	}()
	fmt.Println("ready")
	return server.Serve(listener)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:10095", "where the proxy finds it")
	endpointAddress := flag.String("endpoint", "", "the endpoint's address")
	serverAddress := flag.String("server", "", "the server's address")
	names := flag.String("names", "", "file of allowed names, a line each")
	flag.Parse()
	if err := serve(*listen, *endpointAddress, *serverAddress, *names); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
