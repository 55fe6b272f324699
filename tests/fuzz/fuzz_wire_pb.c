/* A client's message in Protobuf. Not taken through JSON: raw fields may hold any bytes here. */
#include "fuzz_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wire_desc *const others[] = {&wire_desc_reply, &wire_desc_emulation_request,
                                                     &wire_desc_publication};
    struct str text = str_of((const char *)data, size), rest = text;
    struct arena a = ARENA_INIT;
    struct wire_command command;
    enum err err;

    while ((err = wire_next(WIRE_PROTOBUF, &rest, &a, &command)) == OK) {
        CHECK(wire_command_method(&command) < METHOD_COUNT);
        fuzz_round_trip(WIRE_PROTOBUF, &wire_desc_command, &command);
    }
    CHECK(err == ERR_SYNTAX || (err == ERR_NOT_FOUND && rest.len == 0));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        void *message = arena_zalloc(&a, others[i]->size);

        if (wire_decode(WIRE_PROTOBUF, others[i], text, &a, message) == OK)
            fuzz_round_trip(WIRE_PROTOBUF, others[i], message);
    }
    arena_deinit(&a);
    return 0;
}
