/* onnx_wire.c - the fields of a protobuf message, one after the other. Fields that nobody asks for are
 * stepped over.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "format/onnx_wire.h"

bool wire_varint(cursor *c, uint64_t *out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        if (shift < 64) value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *out = value;
            return true;
        }
    }
    return false;
}

uint64_t wire_little(const uint8_t *p, size_t size) {
    uint64_t v = 0;
    for (size_t i = size; i-- > 0;) v = v << 8 | p[i];
    return v;
}

bool wire_next(cursor *c, wire_field *f) {
    uint64_t tag, length;
    if (c->at == c->end) return false;
    if (!wire_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911) goto damaged;
    *f = (wire_field){ .number = (uint32_t)(tag >> 3), .wire = (int)(tag & 7) };
    switch (f->wire) {
    case WIRE_VARINT:
        if (!wire_varint(c, &f->value)) goto damaged;
        return true;
    case WIRE_64:
    case WIRE_32:
        length = f->wire == WIRE_64 ? 8 : 4;
        if ((size_t)(c->end - c->at) < length) goto damaged;
        f->value = wire_little(c->at, (size_t)length);
        c->at += length;
        return true;
    case WIRE_BYTES:
        if (!wire_varint(c, &length) || length > (uint64_t)(c->end - c->at)) goto damaged;
        f->body = (cursor){ c->at, c->at + length };
        c->at += length;
        return true;
    default: break; /* groups are not used by the format */
    }
damaged:
    c->at = NULL;
    return false;
}

size_t wire_count(cursor c, uint32_t number) {
    size_t count = 0;
    wire_field f;
    while (wire_next(&c, &f)) count += f.number == number;
    return count;
}

bool wire_each(cursor c, uint32_t number, int wire, element_fn *each, void *to, size_t *count) {
    size_t size = wire == WIRE_64 ? 8 : 4;
    wire_field f;
    *count = 0;
    while (wire_next(&c, &f)) {
        if (f.number != number) continue;
        if (f.wire == wire) {
            if (each) each(to, *count, f.value);
            ++*count;
            continue;
        }
        if (f.wire != WIRE_BYTES) return false;
        while (f.body.at < f.body.end) {
            uint64_t value;
            if (wire == WIRE_VARINT) {
                if (!wire_varint(&f.body, &value)) return false;
            } else {
                if ((size_t)(f.body.end - f.body.at) < size) return false;
                value = wire_little(f.body.at, size);
                f.body.at += size;
            }
            if (each) each(to, *count, value);
            ++*count;
        }
    }
    return c.at != NULL;
}
