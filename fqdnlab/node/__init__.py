"""The node service of a lab: namespaces, endpoints, processes, faults."""
