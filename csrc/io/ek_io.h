/* ek_io.h: WFDB headers and the signal formats that large archives use. Bytes in, numbers out:
 * nothing here allocates for a count that the bytes at hand do not back, and every field is
 * range-checked. Format: "header(5)" and "signal(5)" of the WFDB Applications Guide. */
#ifndef EK_IO_H
#define EK_IO_H

#include "ek_core.h"

enum {
    EK_WFDB_MAX_HEADER = 1 << 20,
    EK_WFDB_MAX_LINE = 1 << 16,
    EK_WFDB_MAX_SIGNALS = 4096,
    EK_WFDB_MAX_SEGMENTS = 1000000,
};

/* A stretch of the header's bytes. */
typedef struct {
    size_t at, len;
} ek_text;

/* What is wrong with a header: "line 3: gain must be ..., got 'x'". field and wanted are constants.
 */
typedef struct {
    size_t line; /* from 1; 0: the file as a whole */
    const char *field, *wanted;
    ek_text got;
} ek_wfdb_error;

/* Fields that the line really has; the others hold the defaults of the specification. */
enum {
    EK_WFDB_GAIN = 1u, /* present and not 0 */
    EK_WFDB_UNIT = 2u,
    EK_WFDB_BASELINE = 4u,
    EK_WFDB_INITIAL = 8u,
    EK_WFDB_CHECKSUM = 16u,
};

typedef struct {
    ek_text file, unit, name;
    int32_t format, per_frame, skew;
    int64_t offset;
    double gain; /* ADC steps per unit; 200 when absent or 0, as the specification says */
    int32_t baseline, resolution, zero, initial, checksum,
        block; /* baseline: ADC zero when absent */
    unsigned has;
} ek_wfdb_signal;

typedef struct {
    ek_text name;
    int64_t length;
} ek_wfdb_segment;

typedef struct {
    ek_text name, start;      /* start: time and date as they stand */
    double fs;                /* frames per second; 250 when absent, as the specification says */
    double counter, base;     /* counter frequency (fs when absent) and base counter */
    int64_t length;           /* frames; -1 when unknown */
    size_t signals, segments; /* segments is 0 for a plain record */
    ek_wfdb_signal *signal;   /* (signals) for a plain record, else NULL */
    ek_wfdb_segment *segment;
    ek_text *comment; /* (comments), without the # */
    size_t comments;
} ek_wfdb_header;

/* Parse a header in time linear in its length. The arrays of *h lie in the arena and are at most 40
 * times the text. EK_EFORMAT: *error says where and why. */
EK_CHECK ek_status ek_wfdb_parse(const uint8_t *text, size_t bytes, ek_arena *tmp,
                                 ek_wfdb_header *h, ek_wfdb_error *error);

/* A decimal number, correctly rounded whatever the locale: [sign] digits [. digits] [e [sign]
 * digits]. Returns the bytes used, 0 if there is no number or it over- or underflows. */
size_t ek_io_number(const uint8_t *text, size_t bytes, double *value);

/* Bytes that `samples` samples take; 0 for a format other than 16, 24, 32, 80, 212. */
size_t ek_wfdb_bytes(int format, size_t samples);
/* The code of an invalid sample: -2^(bits-1). */
int32_t ek_wfdb_invalid(int format);

/* Unpack interleaved samples into rows.
 *   src  frames x n samples, ek_wfdb_bytes(format, frames*n) bytes; format 212 starts on a pair
 *   out  row s begins at out + s*ldo and gets `frames` samples
 * EK_EVALUE: a format that does not fit the type (24 and 32 need i32). */
EK_CHECK ek_status ek_wfdb_unpack_i16(int format, const uint8_t *src, size_t frames, size_t n,
                                      int16_t *out, size_t ldo);
EK_CHECK ek_status ek_wfdb_unpack_i32(int format, const uint8_t *src, size_t frames, size_t n,
                                      int32_t *out, size_t ldo);

/* One signal: how its steps become millivolt. */
typedef struct {
    double gain, factor; /* mV = (step - baseline) / gain * factor in double, then to float */
    int32_t baseline, invalid;
} ek_wfdb_scale;

/* x[i] = scaled raw[i], NaN where raw[i] is the invalid code. Returns the sum of raw. */
uint32_t ek_wfdb_scale_i16(const int16_t *raw, size_t n, ek_wfdb_scale s, float *x);
uint32_t ek_wfdb_scale_i32(const int32_t *raw, size_t n, ek_wfdb_scale s, float *x);
/* Variants of what the dispatch picks from. */
uint32_t ek_wfdb_scale_i16_ref(const int16_t *raw, size_t n, ek_wfdb_scale s, float *x);
uint32_t ek_wfdb_scale_i16_avx2(const int16_t *raw, size_t n, ek_wfdb_scale s, float *x);
void ek_wfdb_pairs_ref(const uint8_t *src, size_t pairs, int16_t *even, int16_t *odd);
void ek_wfdb_pairs_avx2(const uint8_t *src, size_t pairs, int16_t *even, int16_t *odd);

/* The signals of one file, rows `first`.. of the record. */
typedef struct {
    int fd, format;
    int64_t offset;
    size_t first, signals;
} ek_wfdb_file;

/* Read, unpack and scale a record of `frames` frames.
 *   raw   (signals, frames) int16, or int32 when wide    x  (signals, frames)    sum  (signals):
 * checksums EK_EFORMAT: a file ended early. Scratch: 256 KiB. */
EK_CHECK ek_status ek_wfdb_load(const ek_wfdb_file *file, size_t files, size_t frames,
                                const ek_wfdb_scale *scale, int wide, void *raw, float *x,
                                uint32_t *sum, ek_arena *tmp);

/* One annotation. aux is a stretch of the file's bytes. */
typedef struct {
    int64_t sample;
    uint8_t code, channel;
    int8_t subtype, number;
    ek_text aux;
} ek_wfdb_annotation;

/* Decode a list of annotations; with out NULL only count them (there are fewer than bytes/2).
 * EK_EFORMAT: the list is cut off or malformed at byte *at. */
EK_CHECK ek_status ek_wfdb_annotations(const uint8_t *data, size_t bytes, ek_wfdb_annotation *out,
                                       size_t *count, size_t *at);

/* SCP-ECG: `count` numbers in the default Huffman table; each takes at least one bit.
 * EK_EFORMAT: the bytes end before. */
EK_CHECK ek_status ek_scp_huffman(const uint8_t *src, size_t bytes, int32_t *out, size_t count);

/* LZW with codes of 10 bits, as Philips XML stores leads; 1023 ends the stream. At most `room`
 * bytes come out. EK_EFORMAT: a code that cannot be, or more than fits. */
EK_CHECK ek_status ek_lzw10(const uint8_t *src, size_t bytes, uint8_t *out, size_t room,
                            size_t *used);

#endif
