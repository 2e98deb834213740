/* SPDX-License-Identifier: MIT */
/* The gateway's settings; see tests/fuzz/settings.h. */
#include "common/config_checks.h"
#include "common/limits.h"
#include "common/message.h"
#include "common/redis.h"
#include "gateway/settings.h"
#include "tests/fuzz/settings.h"

static void check_right(const struct settings *s)
{
    assert(!redis_url_check(s->redis_url) && !config_check_host(s->host));
    assert(*s->redis_prefix && !config_check_prefix(s->redis_prefix));
    assert(s->idempotency_seconds >= 60 && s->log_level <= LOG_ERROR && s->log_format <= 1);
    assert(s->port <= 65535 && s->conns_max >= 16 && s->clients_max >= 16);
    assert(s->content_max >= 1 && s->content_max <= CONTENT_CHARS_CEILING);
    assert(s->lag_bytes >= 65536 && s->outbox_max >= 256 && s->drain_seconds <= 25);
    assert(s->ack >= ACK_LOG && s->ack <= ACK_STORED && s->write_with <= 2 && s->ws_deflate <= 1);
    assert(room_name_valid(str_of(s->replica)) && *s->allowed_origins && *s->persister_url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_settings f;
    struct settings s, again;
    if (fuzz_settings_skip(fuzz_str(data, size)))
        return 0;
    fuzz_settings_begin(&f, fuzz_str(data, size));
    enum config_result result = fuzz_settings_load(&f, &s, settings_load);
    if (result == CONFIG_OK) {
        check_right(&s);
        log_init("fuzz", LOG_ERROR, false); /* so that the line is made, and not written */
        settings_log(&s);
        assert(fuzz_settings_load(&f, &again, settings_load) == CONFIG_OK);
        assert(strcmp(s.redis_url, again.redis_url) == 0 && s.port == again.port);
    }
    assert((config_exit(result) != 0) == (result == CONFIG_WRONG));
    const char *port = config_value("PORT", PORT_DEFAULT, f.argc, f.argv);
    assert(result != CONFIG_OK || strtoul(port, NULL, 10) == s.port);
    fuzz_settings_end(&f);
    return 0;
}
