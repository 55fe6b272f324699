/* From the core's structs to the messages of the wire, shared by fan-out, replies and history.
 * Results borrow from the publication and live in the arena. Any thread. */
#pragma once

#include "base/arena.h"
#include "codec/wire.h"
#include "core/engine.h"
#include "core/publication.h"

/* How a publication's data goes to a subscriber. Those who negotiated deltas get FORM_TEXT and
 * FORM_PATCH; in JSON both are a string. In Protobuf FORM_TEXT is FORM_PLAIN. */
enum form { FORM_PLAIN, FORM_TEXT, FORM_PATCH, FORM_COUNT };

void encode_publication(struct arena *a, const struct publication *p, struct wire_publication *out);
/* False: one of them cannot be told in this encoding (its data or info is not JSON). delta: the
 * first one comes as FORM_TEXT, the others as patches against their neighbours where that is
 * shorter. */
bool encode_publications(struct arena *a, enum wire wire, bool delta,
                         struct publication *const *list, size_t count,
                         struct wire_publication_list *out);
bool encode_fits(enum wire wire, const struct publication *p);
/* Whether a raw value can be told in this encoding: in base64 a token or the API gives any bytes.
 */
bool encode_raw_fits(enum wire wire, struct str raw);
void encode_info(const struct publication_info *info, struct wire_client_info *out);
/* The tags of a publication, checked when it was made. */
struct wire_pairs encode_tags(struct arena *a, struct str tags);
/* The whole push reply of p: publication, join or leave. patch: with FORM_PATCH. */
void encode_push(struct arena *a, struct buf *out, enum wire wire, const struct publication *p,
                 enum form form, struct str patch);
