/* SPDX-License-Identifier: MIT */
/* The version of both programs, as semver.org counts it. */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

#define CHAT_VERSION "0.1.0"

#endif
