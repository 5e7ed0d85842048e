/* delineate.h: what the parts of the delineator share (private to csrc/dsp). Waves and classes:
 * 0 P, 1 QRS, 2 T; a point is wave * 3 + (0 onset, 1 peak, 2 offset). */
#ifndef DELINEATE_H
#define DELINEATE_H
#include "delineate_net.h"
#include "ek_dsp.h"

enum {
    DELIN_RATE = 250,   /* Hz of the network's input; its scores come at half that */
    DELIN_BIN = 2,      /* samples of it in one score */
    DELIN_ROW = 8,      /* in one row at 31.25 Hz */
    DELIN_OPEN = 500,   /* nothing is sought further than this from an R peak; a longer gap between
                           two is not one interval */
    DELIN_MARGIN = 250, /* context on both sides, more than the network sees */
    DELIN_BOX = 125,    /* half length of the two running means that make the baseline */
    DELIN_PIECE = 5000, /* aim for the length of a piece */
    DELIN_QRS_REACH = 20,
};

/* A piece of a record: beats first..last are decoded, own_first..own_last of them kept (the others
 * give context); samples lo..hi at DELIN_RATE, lo a multiple of DELIN_ROW. */
typedef struct {
    size_t record, first, last, own_first, own_last;
    int open_start, open_end; /* no interval to the beat before, after */
    ptrdiff_t lo, hi;
} delin_piece;

/* One lead's stretch lo..hi at DELIN_RATE, bridged, into y; z = y above its baseline. beats are
 * positions at DELIN_RATE. Returns the median range of z about the beats (0: nothing finite). */
double delin_prepare(const float *x, size_t t, double fs, const delin_piece *piece,
                     const double *beats, float *y, float *z, double *work);
size_t delin_prepare_room(size_t stretch, double fs); /* doubles of work */

/* What the phase layers take for n bins from sample lo on: out (n, DELIN_PHASE). */
void delin_phase(const double *beats, size_t count, ptrdiff_t lo, size_t n, float *out);

/* Waves of beats first..last of a piece from score (4 n4, CLASSES): bounds (last - first + 1, 3, 2)
 * at DELIN_RATE, NaN where absent. entry: what P and T gain by being there, in units of the scores.
 * path: one byte per state and bin. */
void delin_decode(const float *score, const float *entry, const delin_piece *piece, size_t n4,
                  const double *beats, double *bounds, unsigned char *path);

/* Peaks between bounds. y: the lead's stretch from sample lo on; x: the lead (t). */
double delin_bump_peak(const float *y, ptrdiff_t lo, ptrdiff_t hi, double onset, double offset);
int64_t delin_qrs_peak(const float *x, size_t t, int64_t onset, int64_t offset);

/* Points of all leads together from points (lead, 9): see ek_dsp_delineate_f32. */
void delin_fuse(const int64_t *points, size_t lead, double fs, int64_t r, int64_t *fused);
#endif
