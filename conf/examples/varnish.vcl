# varnish in front of three nodes of streamd. Clients need no sticky sessions: any node serves any request.
#
#   varnishd -C -f $PWD/conf/examples/varnish.vcl     (checks the file; 6.0 or later)
#   varnishd -F -a 127.0.0.1:8080 -f $PWD/conf/examples/varnish.vcl -p pipe_timeout=75
#
# The nodes need server.trusted_proxies = ["127.0.0.1"], the address that varnish connects from. Without it, all
# clients are one to them, with one connections.max_per_address.
#
# streamd has no access control: listen on a private address, or authenticate here.
#
# streamd answers under localhost and its own addresses; other names of this proxy go into server.hosts of the
# nodes: hosts = ["events.example.org"]
#
# varnish has no TLS, and so no HTTP/2 for browsers: put a program that has before it (hitch, HAProxy). It takes
# two threads for each stream (of thread_pool_max, 5000, in each of two pools). Between nodes it chooses in turn, not the one
# with the fewest streams.
vcl 4.1;

import directors;
import std;

# A node is out as soon as it drains (503) or cannot be reached, and back after two good answers.
probe ready {
    .url = "/health/ready";
    .interval = 1s;
    .timeout = 2s;
    .window = 2;
    .threshold = 2;
    .initial = 2;
}

# Timeouts above connections.heartbeat_seconds (15) and poll.max_wait_seconds (55): a quiet stream goes on, and a
# dead node is noticed. A client must not ask for longer heartbeats (heartbeat=). Connects within a data centre take
# a millisecond; a node without power answers nothing.
backend node1 {
    .host = "127.0.0.1"; .port = "8081"; .probe = ready;
    .connect_timeout = 2s; .first_byte_timeout = 75s; .between_bytes_timeout = 75s;
}

backend node2 {
    .host = "127.0.0.1"; .port = "8082"; .probe = ready;
    .connect_timeout = 2s; .first_byte_timeout = 75s; .between_bytes_timeout = 75s;
}

backend node3 {
    .host = "127.0.0.1"; .port = "8083"; .probe = ready;
    .connect_timeout = 2s; .first_byte_timeout = 75s; .between_bytes_timeout = 75s;
}

sub vcl_init {
    new nodes = directors.round_robin();
    nodes.add_backend(node1);
    nodes.add_backend(node2);
    nodes.add_backend(node3);
}

sub vcl_recv {
    set req.backend_hint = nodes.backend();

    # Replaced, not appended: what a client sends in them is no evidence. X-Forwarded-For also keeps clients away
    # from connections.control, which is for programs on this machine.
    set req.http.X-Forwarded-For = client.ip;
    set req.http.X-Forwarded-Proto = "http";
    # Removed: nodes that trust varnish would believe a client's.
    unset req.http.Forwarded;
    unset req.http.X-Forwarded-Prefix;

    # WebSocket alone may switch the protocol.
    if (req.http.Upgrade ~ "(?i)^websocket$") {
        return (pipe);
    }
    unset req.http.Upgrade;

    # Lines of NDJSON are answered one by one: varnish would read the upload to its end first.
    if (req.method == "POST" && req.http.Content-Type ~ "(?i)^application/x-ndjson") {
        return (pipe);
    }

    # Nothing is cached, /health/ready least of all. Events pass at once, as they come from the node.
    return (pass);
}

# Bytes go both ways from here, past every rule, until the node closes the connection. It does so behind its answer,
# which is therefore the only one that the client can get.
sub vcl_pipe {
    if (req.http.Upgrade) {
        set bereq.http.Upgrade = "websocket";
        set bereq.http.Connection = "Upgrade, close";
    } else {
        set bereq.http.Connection = "close";
    }
}

sub vcl_backend_fetch {
    # Compressed streams would arrive late, in blocks.
    unset bereq.http.Accept-Encoding;
    # A new connection for each request, because a node that drains accepts none: varnish asks the next node. On an
    # idle connection it would answer 503.
    set bereq.http.Connection = "close";
    if (bereq.retries > 0) {
        set bereq.backend = nodes.backend();
    }
}

sub vcl_backend_response {
    set beresp.do_gzip = false;
    set beresp.do_stream = true;
}

sub vcl_backend_error {
    # Ask another node: only for what may be repeated, because varnish does not tell whether a request was sent.
    if ((bereq.method == "GET" || bereq.method == "HEAD") && bereq.retries < 2) {
        return (retry);
    }
    if (bereq.method == "GET" && bereq.http.Accept ~ "text/event-stream") {
        # An EventSource comes back after a stream that ends, and never after an error. Errors of varnish itself only;
        # answers of the nodes, 503 too, pass as they are.
        set beresp.status = 200;
        set beresp.reason = "OK";
        set beresp.http.Content-Type = "text/event-stream";
        # Pages of other origins may read it: it has nothing to hide.
        set beresp.http.Access-Control-Allow-Origin = "*";
        set beresp.body = {"retry: "} + std.real2integer(std.random(2000, 5000), 3000) + {"
: no node can be reached

"};
    } else {
        # 503 would be an answer of streamd.
        set beresp.status = 502;
        set beresp.reason = "Bad Gateway";
        set beresp.http.Content-Type = "text/plain";
        set beresp.body = "no node can be reached";
    }
    set beresp.http.Cache-Control = "no-store";
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    unset resp.http.Age;
}
