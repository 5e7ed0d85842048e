/* Two small decompressors of ECG formats: SCP-ECG's default Huffman table (EN 1064, annex C) and
 * the 10-bit LZW of Philips XML ("XLI"). Both write into room that the caller has checked against
 * the bytes at hand. */
#include "ek_io.h"
#include <string.h>

typedef struct {
    const uint8_t *src;
    size_t bits, at; /* most significant bit of a byte first */
} reader;

static int bit(reader *r) {
    const int b = r->src[r->at >> 3] >> (7 - (r->at & 7)) & 1;
    r->at++;
    return b;
}

static uint32_t take(reader *r, size_t n) {
    uint32_t v = 0;
    while (n-- > 0) v = v << 1 | (uint32_t)bit(r);
    return v;
}

ek_status ek_scp_huffman(const uint8_t *src, size_t bytes, int32_t *out, size_t count) {
    enum { LONGEST = 10 }; /* ones in front of the codes that carry a whole number */
    reader r = {src, bytes * 8, 0};
    for (size_t i = 0; i < count; i++) {
        size_t ones = 0;
        while (ones < LONGEST) {
            if (r.at == r.bits) return EK_EFORMAT;
            if (!bit(&r)) break;
            ones++;
        }
        /* 0: 0    1^k 0 s: k or -k, k up to 8    1^9 0: eight bits    1^10: sixteen bits */
        const size_t extra = ones == 0 ? 0 : ones <= 8 ? 1 : ones == 9 ? 8 : 16;
        if (r.bits - r.at < extra) return EK_EFORMAT;
        const uint32_t v = take(&r, extra);
        if (ones <= 8)
            out[i] = v ? -(int32_t)ones : (int32_t)ones;
        else
            out[i] = ones == 9 ? (int8_t)v : (int16_t)v;
    }
    return EK_OK;
}

ek_status ek_lzw10(const uint8_t *src, size_t bytes, uint8_t *out, size_t room, size_t *used) {
    enum { BITS = 10, LAST = 1022, SIZE = 1024 };
    uint16_t prefix[SIZE], length[SIZE];
    uint8_t first[SIZE], last[SIZE];
    for (int c = 0; c < 256; c++) {
        length[c] = 1;
        first[c] = last[c] = (uint8_t)c;
    }
    reader r = {src, bytes * 8, 0};
    unsigned next = 256, previous = SIZE;
    size_t n = 0;
    while (r.bits - r.at >= BITS) {
        const unsigned code = take(&r, BITS);
        if (code > LAST) break; /* the end of the stream */
        if (code > next || (code == next && previous == SIZE)) return EK_EFORMAT;
        if (previous != SIZE &&
            next <= LAST) { /* what came before, and the first byte of what comes now */
            prefix[next] = (uint16_t)previous;
            length[next] = (uint16_t)(length[previous] + 1);
            first[next] = first[previous];
            last[next] = code == next ? first[previous] : first[code];
            next++;
        } else if (code == next) {
            return EK_EFORMAT; /* the table is full */
        }
        if (room - n < length[code]) return EK_EFORMAT;
        unsigned c = code;
        for (size_t k = length[code]; k-- > 0; c = prefix[c]) out[n + k] = last[c];
        n += length[code];
        previous = code;
    }
    *used = n;
    return EK_OK;
}
