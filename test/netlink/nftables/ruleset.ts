/**
 * A ruleset with everything that this kernel's nf_tables and nft(8) have in common, for tests that
 * read it and write it again.
 */
export const everything = `
table inet fw {
  comment "the firewall"
  counter web { comment "requests" packets 3 bytes 40 }
  quota month { over 10 mbytes used 4 kbytes }
  limit slow { rate 5/minute burst 7 packets }
  set blocked { type ipv4_addr; flags interval; comment "bad ones"
    elements = { 10.0.0.0/8, 192.168.1.1 comment "printer", 192.168.3.10-192.168.3.20, 255.255.255.0/24 } }
  set ports { type inet_service; elements = { 22, 80, 443 } }
  set pairs { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 80, 10.0.0.2 . 443 } }
  set nets { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90, 10.1.1.1 . 443 } }
  set six { type ipv6_addr; flags interval; elements = { fe80::/10, 2001:db8::1 } }
  set macs { type ether_addr; elements = { 02:42:ac:11:00:02 } }
  set marks { type mark; flags interval; elements = { 1-7, 9 } }
  set names { type ifname; elements = { "eth0", "lo" } }
  set states { type ct_state; elements = { new, established } }
  set protos { type inet_proto; elements = { tcp, udp } }
  set visitors { type ipv4_addr; size 128; flags dynamic,timeout; timeout 1h; gc-interval 1m; }
  set counted { type ipv4_addr; counter; elements = { 10.9.9.9 counter packets 0 bytes 0 } }
  set limited { type ipv4_addr; flags dynamic; size 1000; }
  set kinds { typeof ip protocol . ip saddr; elements = { tcp . 10.0.0.1 } }
  map verdicts { type inet_service : verdict; elements = { 22 : accept, 80 : jump web, * : drop } }
  map targets { type inet_service : ipv4_addr; elements = { 80 : 10.0.0.2, 81 : 10.0.0.3 } }
  map counters { type ipv4_addr : counter; elements = { 10.0.0.7 : "web" } }
  map tomark { type ipv4_addr : mark; flags interval; elements = { 10.0.0.0/24 : 0x00000007 } }
  chain web { comment "of web"
    return
  }
  chain other { }
  chain in { type filter hook input priority filter + 5; policy drop;
    ct state established,related accept
    ct state vmap { invalid : drop, new : continue }
    iifname "lo" accept comment "itself"
    iif lo counter packets 0 bytes 0
    oifname != "eth*" accept
    ip saddr @blocked drop
    ip saddr 10.0.0.0/12 tcp dport 22 accept
    ip saddr != 10.0.0.1 udp sport 53 accept
    ip6 saddr fe80::/10 accept
    ip6 saddr @six accept
    tcp dport { 80, 443 } counter jump web
    tcp dport 1000-2000 goto other
    tcp dport != 1000-2000 tcp sport > 1024 accept
    tcp dport vmap @verdicts
    tcp flags syn / syn,ack,rst accept
    tcp flags & (fin | syn) == syn accept
    tcp option maxseg size 1000-1400 accept
    ip saddr . tcp dport @pairs accept
    ip saddr . tcp dport @nets accept
    ip protocol . ip saddr @kinds accept
    ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 81 } accept
    meta mark @marks accept
    meta mark & 0x000000ff == 0x00000001 accept
    meta mark set 0x0000000a
    meta mark set meta mark | 0x00000100
    meta mark set ip saddr map @tomark
    meta priority set 1:2
    meta skuid 0 accept
    meta l4proto { tcp, udp } accept
    meta pkttype broadcast drop
    meta length > 1000 drop
    ct mark set meta mark
    ct mark 0x7 accept
    ct direction original accept
    ct status dnat accept
    ct original ip saddr 10.0.0.1 accept
    ct bytes > 100000 drop
    ct count over 20 drop
    icmp type echo-request limit rate 10/second burst 5 packets accept
    icmpv6 type { nd-neighbor-solicit, nd-router-advert } accept
    limit rate over 1 mbytes/second drop
    limit name "slow" accept
    quota 25 mbytes accept
    quota name "month" drop
    counter name "web"
    counter name ip saddr map @counters
    log prefix "in: " level debug flags tcp sequence,options
    log group 5 snaplen 64 queue-threshold 3
    fib daddr type local accept
    fib saddr . iif oif missing drop
    rt classid 3 accept
    rt ip nexthop 10.0.0.1 accept
    socket transparent 1 accept
    numgen random mod 10 vmap { 0-4 : accept, 5-9 : drop }
    numgen inc mod 3 offset 1 == 2 accept
    jhash ip saddr . tcp dport mod 8 seed 0xdeadbeef offset 2 == 3 accept
    add @visitors { ip saddr }
    update @visitors { ip saddr timeout 10s }
    add @limited { ip saddr limit rate over 10/second } drop
    ip dscp set cs1
    ip ttl 64 accept
    ip daddr set 10.0.0.9
    tcp dport set 8080
    exthdr frag exists drop
    @th,16,16 0x0050 accept
    ether saddr @macs accept
    reject with tcp reset
    reject with icmpx admin-prohibited
    reject with icmp port-unreachable
    reject with icmpv6 no-route
  }
  chain raw { type filter hook prerouting priority raw; policy accept;
    udp dport 53 notrack
    meta nftrace set 1
  }
  chain tp { type filter hook prerouting priority mangle; policy accept;
    tcp dport 80 tproxy ip to 127.0.0.1:3128
  }
  chain route { type route hook output priority mangle; policy accept;
    meta mark set 0x1
  }
  chain pre { type nat hook prerouting priority dstnat; policy accept;
    tcp dport 80 dnat ip to 10.0.0.2:8080
    tcp dport 81 dnat ip to 10.0.0.2-10.0.0.5:1000-2000 random
    tcp dport 82 redirect to :8082
    dnat ip to tcp dport map @targets
    dnat ip6 to fd00::1
  }
  chain post { type nat hook postrouting priority srcnat; policy accept;
    oifname "v0" masquerade
    oifname "v1" tcp sport 5 masquerade to :1024-2048 random
    snat ip to 10.0.0.1 persistent
  }
}
table ip old {
  flags dormant
  chain out { type filter hook output priority 0; policy accept;
    ip daddr 10.0.0.1 tcp dport 80 reject
    dup to 10.0.0.3 device "lo"
  }
}
table ip6 six { chain c { ip6 daddr fd00::/8 drop; }; }
table arp a { chain c { type filter hook input priority filter; policy accept; arp operation request counter; }; }
table bridge b { chain c { type filter hook input priority filter; policy accept; ether type ip ip saddr 10.0.0.1 accept; }; }
table netdev n { chain ing { type filter hook ingress device "lo" priority filter; policy accept;
    ip saddr 10.0.0.1 drop
    fwd to "lo"
    dup to "lo"
  }
}
`
