/* What hooks see of a client's headers: those of the request it began with, and apart from them the
 * ones that it wrote into its connect command, which nobody vouches for. Kept packed as client
 * texts, "name\0value\0"…, names in lower case, and only where a hook may look. Worker thread. */
#pragma once

#include "client/client.h"
#include "codec/wire.h"

/* Of the opening request, with where it came from; also the user that client.user_id_http_header
 * names. */
void headers_keep(struct client *cl, const struct transport_request *request);
/* Of the connect command. ERR_SYNTAX: a name or a value that no header could have. ERR_LIMIT: too
 * many, or too long together. */
enum err headers_keep_emulated(struct client *cl, struct wire_pairs pairs) NODISCARD;

/* Takes the next header off the front of packed; false: there are no more. */
bool headers_next(struct str *packed, struct str *name, struct str *value);
