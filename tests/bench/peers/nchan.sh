# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# nchan, a module of nginx in C: messages in its memory (Debian: nginx-light, libnginx-mod-nchan).
TEMPLATE='{"id":12345,"username":"bench","content":"%s","created_at":"2026-01-01T00:00:00.000Z","room":"lobby"}'
PUBLISH=(--publish-path /pub) POST=(--post /pub --text)
NCHAN_MODULE=/usr/lib/nginx/modules/ngx_nchan_module.so

peer_needs() { [ -x /usr/sbin/nginx ] && [ -f "$NCHAN_MODULE" ]; }

nchan_start() { # further lines of http{}, further lines of a location
    mkdir -p "$RUN/tmp"
    cat >"$RUN/nginx.conf" <<CONF
user $(id -un);
daemon off;
worker_processes 1;
pid $RUN/nginx.pid;
error_log $RUN/error.log warn;
worker_rlimit_nofile $(ulimit -n);
load_module $NCHAN_MODULE;
events { worker_connections 16384; multi_accept on; }
http {
    access_log off;
    client_body_temp_path $RUN/tmp;
    proxy_temp_path $RUN/tmp;
    fastcgi_temp_path $RUN/tmp;
    uwsgi_temp_path $RUN/tmp;
    scgi_temp_path $RUN/tmp;
    keepalive_requests 100000000;
    nchan_shared_memory_size 512M;
    $1
    server {
        listen 127.0.0.1:$PORT backlog=4096;
        location = /ws {
            nchan_subscriber websocket;
            nchan_channel_id chat;
            nchan_subscriber_first_message newest;
            $2
        }
        location = /pub {
            nchan_publisher http websocket;
            nchan_channel_id chat;
            nchan_message_buffer_length 1000;
            nchan_message_timeout 10m;
            $2
        }
    }
}
CONF
    spawn /usr/sbin/nginx -p "$RUN" -c "$RUN/nginx.conf"
    wait_port "$PORT" || return 1
    sleep 0.5
    # The master only supervises: its children serve.
    local child
    for child in $(pgrep -P "${pids[-1]}"); do pids+=("$child"); done
}

peer_start() { nchan_start '' ''; }
