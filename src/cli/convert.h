/* A configuration of Centrifugo v6 as a config.lua. */
#pragma once

#include "base/str.h"

/* Reads the file `from` (.json, .yaml, .yml, .toml). True: text is a config.lua for the path `to`,
 * which passes perigee check there, and message says what it could not carry over, one line each.
 * False: message says what is wrong. */
bool convert(const char *from, const char *to, struct buf *text, struct buf *message);
