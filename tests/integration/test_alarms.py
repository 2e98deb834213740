# SPDX-License-Identifier: MIT
"""What the persister finds when it compares its file with the log in Redis: told, not ignored."""

import sqlite3

from cluster import post, wait_until
from test_cluster import stored


def test_row_unlike_its_entry(cluster):
    for n in range(30):
        assert post(cluster.gateways[0], "a", f"m{n}").status_code == 201
    wait_until(lambda: len(stored(cluster)) == 30, what="all are stored")
    cluster.persister.terminate()
    with sqlite3.connect(cluster.persister.database) as db:
        db.execute("UPDATE messages SET content = 'another' WHERE id IN (7, 30)")
    db.close()
    cluster.persister.start()

    def health():
        return cluster.persister.probe("/readyz?verbose").json()
    wait_until(lambda: health()["conflicts"] == 2, what="both are found")
    assert health()["conflict_ids"] == [7, 30]
    assert health()["opening"] == 1, "the log was not opened anew for that"
    alarm = "the log and SQLite differ in a message id="
    assert [line.split(alarm)[1] for line in cluster.persister.log.splitlines()
            if alarm in line] == ["7", "30"]

    links = cluster.persister.log.count("redis up")
    cluster.redis.kill_subscriptions()  # the next connection compares again, and knows them
    wait_until(lambda: cluster.persister.log.count("redis up") > links, what="the next connection")
    assert post(cluster.gateways[1], "a", "m30", prefer="wait=stored").status_code == 201
    wait_until(lambda: stored(cluster)[-1] == (31, "m30"), what="messages are stored as before")
    wait_until(lambda: health()["state"] == "watching" and health()["status"] == "ok", what="idle")
    assert health()["conflicts"] == 2
    assert cluster.persister.log.count(alarm) == 2
    assert stored(cluster)[6] == (7, "another"), "neither is taken back"
