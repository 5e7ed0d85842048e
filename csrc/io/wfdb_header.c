/* The WFDB header: a record line, then one line a signal (or a segment), comments anywhere. */
#include "ek_io.h"
#include <math.h>
#include <string.h>

typedef struct {
    const uint8_t *text;
    size_t at, end; /* what is left of the line */
    size_t line;
    ek_wfdb_error *error;
} cursor;

static int space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_space(cursor *c) {
    while (c->at < c->end && space(c->text[c->at])) c->at++;
}

/* The word at the cursor, without moving. */
static ek_text word(const cursor *c) {
    size_t end = c->at;
    while (end < c->end && !space(c->text[end])) end++;
    return (ek_text){c->at, end - c->at};
}

static ek_status fail(cursor *c, const char *field, const char *wanted) {
    *c->error = (ek_wfdb_error){c->line, field, wanted, word(c)};
    return EK_EFORMAT;
}

static int at_char(const cursor *c, char ch) {
    return c->at < c->end && c->text[c->at] == (uint8_t)ch;
}

static int at_gap(const cursor *c) {
    return c->at == c->end || space(c->text[c->at]);
}

static int at_digit(const cursor *c) {
    return c->at < c->end && c->text[c->at] >= '0' && c->text[c->at] <= '9';
}

/* An integer of at most 18 digits within [low, high]. */
static int integer(cursor *c, int64_t low, int64_t high, int64_t *out) {
    const size_t start = c->at;
    const int negative = at_char(c, '-');
    int64_t v = 0;
    size_t digits = 0;
    if (at_char(c, '-') || at_char(c, '+')) c->at++;
    for (; at_digit(c); c->at++, digits++)
        if (digits < 18) v = v * 10 + (c->text[c->at] - '0');
    v = negative ? -v : v;
    if (digits == 0 || digits > 18 || v < low || v > high) {
        c->at = start;
        return 0;
    }
    *out = v;
    return 1;
}

static int int32(cursor *c, int64_t low, int64_t high, int32_t *out) {
    int64_t v;
    if (!integer(c, low, high, &v)) return 0;
    *out = (int32_t)v;
    return 1;
}

/* A number whose magnitude is 0 or within [low, high]. */
static int number(cursor *c, double low, double high, double *out) {
    double v;
    const size_t used = ek_io_number(c->text + c->at, c->end - c->at, &v);
    if (used == 0 || (v != 0 && !(fabs(v) >= low && fabs(v) <= high))) return 0;
    c->at += used;
    *out = v;
    return 1;
}

/* Letters, digits, _ - and, in the name of a file, dots: nothing that could leave the folder. */
static int file_name(const cursor *c, ek_text t, int dots) {
    const uint8_t *p = c->text + t.at;
    if (t.len == 0 || t.len > 255 || p[0] == '-' || p[0] == '.') return 0;
    for (size_t i = 0; i < t.len; i++) {
        const int letter = (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z');
        const int other =
            (p[i] >= '0' && p[i] <= '9') || p[i] == '_' || p[i] == '-' || (dots && p[i] == '.');
        if (!letter && !other) return 0;
    }
    return 1;
}

/* The next line that is neither blank nor a comment; comments are collected on the way. 1, or 0 at
 * the end. */
static int next_line(cursor *c, size_t bytes, ek_wfdb_header *h) {
    for (size_t begin = c->line ? c->end + 1 : 0; begin < bytes; begin = c->end + 1) {
        const uint8_t *nl = memchr(c->text + begin, '\n', bytes - begin);
        c->line++;
        c->at = begin;
        c->end = nl ? (size_t)(nl - c->text) : bytes;
        if (c->end - begin > EK_WFDB_MAX_LINE) return 1; /* the caller refuses it */
        skip_space(c);
        if (c->at == c->end) continue;
        if (!at_char(c, '#')) return 1;
        size_t last = c->end;
        while (space(c->text[last - 1])) last--;
        h->comment[h->comments++] = (ek_text){c->at + 1, last - c->at - 1};
    }
    c->at = c->end = bytes;
    return 0;
}

static ek_status record_line(cursor *c, ek_wfdb_header *h) {
    int64_t v = 0;
    ek_text name = word(c);
    for (size_t i = 0; i < name.len; i++)
        if (c->text[name.at + i] == '/') name.len = i;
    if (!file_name(c, name, 1))
        return fail(c, "record name", "must be letters, digits, '_', '-' and '.'");
    h->name = name;
    c->at += name.len;
    if (at_char(c, '/')) {
        c->at++;
        if (!integer(c, 1, EK_WFDB_MAX_SEGMENTS, &v))
            return fail(c, "number of segments", "must be 1 to 1000000");
        h->segments = (size_t)v;
    }
    skip_space(c);
    if (!integer(c, 0, EK_WFDB_MAX_SIGNALS, &v) || !at_gap(c))
        return fail(c, "number of signals", "must be an integer, 0 to 4096");
    h->signals = (size_t)v;
    skip_space(c);
    if (c->at == c->end) return EK_OK;
    if (at_char(c, '-') || !number(c, 0, 1e6, &h->fs) || h->fs == 0)
        return fail(c, "sampling frequency", "must be above 0 and at most 1e6 Hz");
    h->counter = h->fs;
    if (at_char(c, '/')) {
        c->at++;
        if (!number(c, 0, 1e300, &h->counter))
            return fail(c, "counter frequency", "must be a number");
        if (at_char(c, '(')) {
            c->at++;
            if (!number(c, 0, 1e300, &h->base) || !at_char(c, ')'))
                return fail(c, "base counter value", "must be (number)");
            c->at++;
        }
    }
    if (!at_gap(c)) return fail(c, "sampling frequency", "must be followed by a space");
    skip_space(c);
    if (c->at == c->end) return EK_OK;
    if (!integer(c, 0, 1ll << 40, &v) || !at_gap(c))
        return fail(c, "number of samples", "must be an integer, 0 to 2^40");
    if (v > 0) h->length = v;
    skip_space(c);
    size_t last = c->end;
    while (last > c->at && space(c->text[last - 1])) last--;
    h->start = (ek_text){c->at, last - c->at};
    return EK_OK;
}

static ek_status gain_field(cursor *c, ek_wfdb_signal *s) {
    double gain;
    if (!number(c, 1e-15, 1e15, &gain))
        return fail(c, "gain", "must be a number, 0 or between 1e-15 and 1e15 in magnitude");
    if (gain != 0) {
        s->gain = gain;
        s->has |= EK_WFDB_GAIN;
    }
    if (at_char(c, '(')) {
        c->at++;
        if (!int32(c, INT32_MIN, INT32_MAX, &s->baseline) || !at_char(c, ')'))
            return fail(c, "baseline", "must be (a 32-bit integer)");
        c->at++;
        s->has |= EK_WFDB_BASELINE;
    }
    if (at_char(c, '/')) {
        c->at++;
        s->unit = word(c);
        if (s->unit.len == 0 || s->unit.len > 64)
            return fail(c, "unit", "must be 1 to 64 characters");
        c->at += s->unit.len;
        s->has |= EK_WFDB_UNIT;
    }
    return at_gap(c) ? EK_OK : fail(c, "gain", "must read gain(baseline)/unit");
}

static ek_status signal_line(cursor *c, ek_wfdb_signal *s) {
    *s = (ek_wfdb_signal){.per_frame = 1, .gain = 200.0};
    s->file = word(c);
    if (!(s->file.len == 1 && at_char(c, '~')) && !file_name(c, s->file, 1))
        return fail(
            c, "signal file",
            "must be a plain name in the folder of the header (letters, digits, '_', '-', '.')");
    c->at += s->file.len;
    skip_space(c);
    if (!int32(c, 0, 1000, &s->format)) return fail(c, "format", "must be a WFDB format number");
    if (at_char(c, 'x')) {
        c->at++;
        if (!int32(c, 1, 1 << 20, &s->per_frame))
            return fail(c, "samples per frame", "must be 1 to 2^20");
    }
    if (at_char(c, ':')) {
        c->at++;
        if (!int32(c, 0, INT32_MAX, &s->skew))
            return fail(c, "skew", "must be an integer, 0 or more");
    }
    if (at_char(c, '+')) {
        c->at++;
        if (!integer(c, 0, 1ll << 60, &s->offset))
            return fail(c, "byte offset", "must be an integer, 0 or more");
    }
    if (!at_gap(c)) return fail(c, "format", "must read format[xper_frame][:skew][+offset]");
    skip_space(c);
    if (c->at == c->end) return EK_OK;
    const ek_status st = gain_field(c, s);
    if (st != EK_OK) return st;

    const struct {
        const char *name;
        int32_t *out;
        int64_t low, high;
        unsigned has;
    } field[] = {
        {"ADC resolution", &s->resolution, 0,         64,        0               },
        {"ADC zero",       &s->zero,       INT32_MIN, INT32_MAX, 0               },
        {"initial value",  &s->initial,    INT32_MIN, INT32_MAX, EK_WFDB_INITIAL },
        {"checksum",       &s->checksum,   INT32_MIN, INT32_MAX, EK_WFDB_CHECKSUM},
        {"block size",     &s->block,      0,         INT32_MAX, 0               },
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        skip_space(c);
        if (c->at == c->end) break;
        if (!int32(c, field[i].low, field[i].high, field[i].out) || !at_gap(c))
            return fail(c, field[i].name, "must be an integer in its range");
        s->has |= field[i].has;
    }
    if (!(s->has & EK_WFDB_BASELINE)) s->baseline = s->zero;
    skip_space(c);
    size_t last = c->end;
    while (last > c->at && space(c->text[last - 1])) last--;
    s->name = (ek_text){c->at, last - c->at};
    return EK_OK;
}

static ek_status segment_line(cursor *c, ek_wfdb_segment *s) {
    s->name = word(c);
    if (!(s->name.len == 1 && at_char(c, '~')) && !file_name(c, s->name, 1))
        return fail(c, "segment",
                    "must be the plain name of a record in the folder of the header, or ~");
    c->at += s->name.len;
    skip_space(c);
    if (!integer(c, 0, 1ll << 40, &s->length))
        return fail(c, "segment length", "must be an integer, 0 to 2^40");
    skip_space(c);
    return c->at == c->end ? EK_OK : fail(c, "segment", "must read name length");
}

ek_status ek_wfdb_parse(const uint8_t *text, size_t bytes, ek_arena *tmp, ek_wfdb_header *h,
                        ek_wfdb_error *error) {
    cursor c = {.text = text, .error = error};
    *h = (ek_wfdb_header){.fs = 250.0, .counter = 250.0, .length = -1};
    *error = (ek_wfdb_error){0};
    if (bytes > EK_WFDB_MAX_HEADER) return fail(&c, "header", "must be at most 1 MiB");
    size_t hashes = 0, lines = 1;
    for (size_t i = 0; i < bytes; i++) {
        hashes += text[i] == '#';
        lines += text[i] == '\n';
        if (text[i] == 0) {
            *error = (ek_wfdb_error){
                lines, "header", "must be text, but holds a zero byte", {0, 0}
            };
            return EK_EFORMAT;
        }
    }
    if (hashes > lines) hashes = lines;
    if ((h->comment = ek_arena_alloc(tmp, hashes, sizeof *h->comment)) == NULL) return EK_ENOMEM;

    if (!next_line(&c, bytes, h))
        return fail(&c, "header", "must have a record line, but is empty");
    if (c.end - c.at > EK_WFDB_MAX_LINE) return fail(&c, "line", "must be at most 64 KiB");
    ek_status st = record_line(&c, h);
    if (st != EK_OK) return st;

    const size_t rows = h->segments ? h->segments : h->signals;
    if (rows > lines) {
        *error = (ek_wfdb_error){1, h->segments ? "number of segments" : "number of signals",
                                 "is more than the header has lines", h->name};
        return EK_EFORMAT;
    }
    if (h->segments)
        h->segment = ek_arena_alloc(tmp, rows, sizeof *h->segment);
    else
        h->signal = ek_arena_alloc(tmp, rows, sizeof *h->signal);
    if (h->segment == NULL && h->signal == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < rows; i++) {
        if (!next_line(&c, bytes, h))
            return fail(&c, h->segments ? "number of segments" : "number of signals",
                        "is more than the header has lines");
        if (c.end - c.at > EK_WFDB_MAX_LINE) return fail(&c, "line", "must be at most 64 KiB");
        st = h->segments ? segment_line(&c, &h->segment[i]) : signal_line(&c, &h->signal[i]);
        if (st != EK_OK) return st;
    }
    if (next_line(&c, bytes, h))
        return fail(&c, h->segments ? "number of segments" : "number of signals",
                    "is less than the header has lines");
    return EK_OK;
}
