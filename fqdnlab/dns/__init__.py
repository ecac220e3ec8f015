"""DNS: the proxy, and what it shares with the world (`dnslib_codec`)."""
