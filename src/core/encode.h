/* From the core's structs to the messages of the wire, shared by fan-out, replies and history.
 * Results borrow from the publication and live in the arena. Any thread. */
#pragma once

#include "base/arena.h"
#include "codec/wire.h"
#include "core/engine.h"
#include "core/publication.h"

void encode_publication(struct arena *a, const struct publication *p, struct wire_publication *out);
/* False: one of them cannot be told in this encoding (its data is not JSON). */
bool encode_publications(struct arena *a, enum wire wire, struct publication *const *list,
                         size_t count, struct wire_publication_list *out);
bool encode_fits(enum wire wire, const struct publication *p);
void encode_info(const struct publication_info *info, struct wire_client_info *out);
/* The whole push reply of p: publication, join or leave. */
void encode_push(struct arena *a, struct buf *out, enum wire wire, const struct publication *p);
