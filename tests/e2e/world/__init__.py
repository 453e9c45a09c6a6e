"""A small mail world on loopback: real name servers, policy hosts, mail servers and a Prometheus."""
