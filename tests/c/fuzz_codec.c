/* The Huffman and LZW decoders on any bytes, in room of exactly the size that they are told.
 * Input: codec, log2 of the room, then codes. */
#include "ek_io.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    const size_t bytes = size - 2, room = (size_t)1 << data[1] % 16;
    uint8_t *src = malloc(bytes);
    if (src == NULL) return 0;
    memcpy(src, data + 2, bytes);
    if (data[0] & 1) {
        uint8_t *out = malloc(room);
        size_t used = 0;
        if (out == NULL) abort();
        if (ek_lzw10(src, bytes, out, room, &used) == EK_OK && used > room) abort();
        free(out);
    } else {
        const size_t count = room < bytes * 8 ? room : bytes * 8;
        int32_t *out = malloc(count * sizeof *out);
        if (out == NULL) abort();
        if (ek_scp_huffman(src, bytes, out, count) == EK_OK)
            for (size_t i = 0; i < count; i++)
                if (out[i] < -32768 || out[i] > 32767) abort();
        free(out);
    }
    free(src);
    return 0;
}
