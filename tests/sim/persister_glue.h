/* SPDX-License-Identifier: MIT */
/* persister/link.h beside gateway/link.h in one program: under names of its own. */
#ifndef TESTS_SIM_PERSISTER_GLUE_H
#define TESTS_SIM_PERSISTER_GLUE_H

#define link persister_link
#define link_config persister_link_config
#define link_new persister_link_new
#define link_stop persister_link_stop
#define link_free persister_link_free
#define link_ready persister_link_ready
#define link_describe persister_link_describe

#include "persister/link.h"

#endif
