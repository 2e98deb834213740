/* SPDX-License-Identifier: MIT */
/* The routes of ADMIN_PORT: for the operator's network, without CORS and without a client's data.
 */
#include "gateway/admin.h"

#include "gateway/answer.h"
#include "gateway/metrics.h"

static void handle(void *ctx, struct exchange *x, const struct http_request *req, struct str body)
{
    (void)body;
    if (!str_eq(req->path, STR("/metrics")))
        exchange_fail(x, 404, "Not Found");
    else if (req->method != HTTP_GET && req->method != HTTP_HEAD)
        answer_detail(x, 405, STR("Allow: GET, HEAD\r\n"), STR("\"Method Not Allowed\""));
    else
        metrics_answer(ctx, x);
}

const struct server_ops admin_ops = {.request = handle};
