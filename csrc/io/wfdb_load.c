/* A plain WFDB record from open files: read a block that fits the cache, unpack it, scale it while
 * it is there. */
#include "ek_io.h"
#include <errno.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 << 10 };

static ek_status read_fully(int fd, int64_t offset, uint8_t *to, size_t bytes) {
    while (bytes > 0) {
        const ssize_t got = pread(fd, to, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return EK_EIO;
        if (got == 0) return EK_EFORMAT; /* shorter than the header says */
        to += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return EK_OK;
}

ek_status ek_wfdb_load(const ek_wfdb_file *file, size_t files, size_t frames,
                       const ek_wfdb_scale *scale, int wide, void *raw, float *x, uint32_t *sum,
                       ek_arena *tmp) {
    const size_t mark = ek_arena_mark(tmp);
    ek_status st = EK_OK;
    for (size_t f = 0; f < files && st == EK_OK; f++) {
        const size_t n = file[f].signals, first = file[f].first;
        size_t block = BLOCK_BYTES / ek_wfdb_bytes(file[f].format, 2 * n) *
                       2; /* even: format 212 packs pairs */
        if (block == 0) block = 2;
        uint8_t *bytes = ek_arena_alloc(tmp, ek_wfdb_bytes(file[f].format, block * n), 1);
        if (bytes == NULL) return EK_ENOMEM;
        for (size_t s = 0; s < n; s++) sum[first + s] = 0;
        for (size_t t = 0; t < frames && st == EK_OK; t += block) {
            const size_t now = frames - t < block ? frames - t : block;
            const int64_t at = file[f].offset + (int64_t)ek_wfdb_bytes(file[f].format, t * n);
            st = read_fully(file[f].fd, at, bytes, ek_wfdb_bytes(file[f].format, now * n));
            if (st != EK_OK) break;
            const size_t here = first * frames + t;
            if (wide) {
                int32_t *r = (int32_t *)raw + here;
                st = ek_wfdb_unpack_i32(file[f].format, bytes, now, n, r, frames);
                for (size_t s = 0; s < n; s++)
                    sum[first + s] += ek_wfdb_scale_i32(r + s * frames, now, scale[first + s],
                                                        x + here + s * frames);
            } else {
                int16_t *r = (int16_t *)raw + here;
                st = ek_wfdb_unpack_i16(file[f].format, bytes, now, n, r, frames);
                for (size_t s = 0; s < n; s++)
                    sum[first + s] += ek_wfdb_scale_i16(r + s * frames, now, scale[first + s],
                                                        x + here + s * frames);
            }
            if (st == EK_OK) st = ek_poll();
        }
        ek_arena_reset(tmp, mark);
    }
    return st;
}
