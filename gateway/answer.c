/* SPDX-License-Identifier: MIT */
/* Answers that several routes give; see answer.h. */
#include "gateway/answer.h"

#include "common/json.h"

void answer_json(struct exchange *x, int status, struct str headers, struct str body)
{
    exchange_respond(x, &(struct response){.status = status,
                                           .content_type = "application/json",
                                           .headers = headers,
                                           .body = body});
}

void answer_detail(struct exchange *x, int status, struct str headers, struct str errors)
{
    struct buf *body = NULL;
    buf_add_str(&body, STR("{\"detail\":"));
    buf_add_str(&body, errors);
    buf_add_char(&body, '}');
    answer_json(x, status, headers, buf_str(body));
    buf_free(&body);
}

void answer_invalid(struct exchange *x, struct str errors)
{
    struct buf *list = NULL;
    buf_add_char(&list, '[');
    buf_add_str(&list, errors);
    buf_add_char(&list, ']');
    answer_detail(x, 422, STR(""), buf_str(list));
    buf_free(&list);
}

void answer_unavailable(struct exchange *x, const char *words)
{
    struct buf *text = NULL;
    json_add_bytes(&text, str_of(words));
    answer_detail(x, 503, STR("Retry-After: 1\r\n"), buf_str(text));
    buf_free(&text);
}
