# SPDX-License-Identifier: MIT
# The bounds of the engines, made small: a simulated run meets every one of them.
s/\bPUBLISH_BATCH_MAX = 256,/PUBLISH_BATCH_MAX = 6,/
s/\bPUBLISH_BATCH_BYTES = 1 << 20,/PUBLISH_BATCH_BYTES = 900,/
s/\bPAGE_ENTRIES = 1000,/PAGE_ENTRIES = 8,/
s/\bPAGE_LIMIT_MAX = 1000,/PAGE_LIMIT_MAX = 15,/
s/\bFEED_BUFFER_MAX = 4096,/FEED_BUFFER_MAX = 12,/
s/\bPUT_ROWS = 200,/PUT_ROWS = 4,/
s/\bPUT_BYTES = 1 << 20,/PUT_BYTES = 600,/
s/\bREAD_ROWS = 1000,/READ_ROWS = 5,/
s/\bRESTORE_ROWS = 20000,/RESTORE_ROWS = 10,/
