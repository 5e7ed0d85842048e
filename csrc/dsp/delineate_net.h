/* delineate_net.h: the network of the delineator (private to csrc/dsp).
 *
 * Depthwise-separable, U-shaped, three rates: A channels at 125 Hz, B at 62.5 and 31.25 Hz. Rows
 * are time, channels lie side by side; a block keeps PAD rows of zeros before and after its input.
 *   stem   h1 = relu(conv15 stride 2 (z) + phase)       z at 250 Hz, one row per lead
 *   block  y = x + relu(pointwise(depthwise(x)) + bias)
 *   down   pointwise(sum of two rows)                   up: add pointwise(low), each row twice
 *   mix    h3 = relu(h3 + M mean over leads(h3))        the only place where leads meet
 *   phase  two layers on (s since the last R, s to the next, their sum), the same for all leads
 *   head   scores of nothing, P, QRS, T; only their differences count
 * Training: ecgkit/train/delineator.py, which exports the batch norms folded away. */
#ifndef DELINEATE_NET_H
#define DELINEATE_NET_H
#include "ek_core.h"

enum {
    DELIN_A = 16,
    DELIN_B = 32,
    DELIN_STEM = 15,   /* taps */
    DELIN_KA = 7,      /* depthwise taps at 125 Hz */
    DELIN_KB = 9,      /* and below */
    DELIN_PHASE = 3,   /* inputs of the phase layers */
    DELIN_HIDDEN = 32, /* between them */
    DELIN_CLASSES = 4, /* nothing, P, QRS, T */
    DELIN_PAD = 4,     /* rows */
};

enum { /* offsets into the weights; each matrix is (in, out), each depthwise kernel (tap, channel)
        */
       DW_STEM = 0,
       DW_PHASE1 = DW_STEM + DELIN_STEM * DELIN_A,
       DW_PHASE1_B = DW_PHASE1 + DELIN_PHASE * DELIN_HIDDEN,
       DW_PHASE2 = DW_PHASE1_B + DELIN_HIDDEN,
       DW_PHASE2_B = DW_PHASE2 + DELIN_HIDDEN * DELIN_A,
       DW_BLOCK_A = DELIN_KA * DELIN_A + DELIN_A * DELIN_A + DELIN_A,
       DW_BLOCK_B = DELIN_KB * DELIN_B + DELIN_B * DELIN_B + DELIN_B,
       DW_B1 = DW_PHASE2_B + DELIN_A,
       DW_D1 = DW_B1 + DW_BLOCK_A,
       DW_B2 = DW_D1 + DELIN_A * DELIN_B + DELIN_B,
       DW_D2 = DW_B2 + DW_BLOCK_B,
       DW_MIX = DW_D2 + DELIN_B * DELIN_B + DELIN_B,
       DW_B3 = DW_MIX + DELIN_B * DELIN_B,
       DW_B4 = DW_B3 + DW_BLOCK_B,
       DW_B5 = DW_B4 + DW_BLOCK_B,
       DW_U2 = DW_B5 + DW_BLOCK_B,
       DW_B6 = DW_U2 + DELIN_B * DELIN_B + DELIN_B,
       DW_U1 = DW_B6 + DW_BLOCK_B,
       DW_B7 = DW_U1 + DELIN_B * DELIN_A + DELIN_A,
       DW_HEAD = DW_B7 + DW_BLOCK_A,
       DW_ENTRY =
           DW_HEAD + DELIN_A * DELIN_CLASSES + DELIN_CLASSES, /* what P, T gain by being there */
       DW_LATE = DW_ENTRY + 2, /* s that each of the nine points comes late */
       DW_TOTAL = DW_LATE + 9,
};

/* Rows of one lead between the two halves, n4 rows at 31.25 Hz; each has DELIN_PAD zero rows on
 * both sides that are not counted, and the pointer names the first counted row. */
typedef struct {
    float *h1; /* (4 n4, A) */
    float *h2; /* (2 n4, B) */
    float *h3; /* (n4, B) */
} delin_rows;

/* First half: z (8 n4), DELIN_STEM / 2 more samples readable on both sides; phase (4 n4, A). Leaves
 * h1, h2, h3 in keep. */
typedef void (*delin_encode_fn)(const float *w, const float *z, const float *phase, size_t n4,
                                const delin_rows *keep, const delin_rows *work);
/* Second half: add (n4, B) is the mixed mean; score (4 n4, CLASSES). Spoils keep. */
typedef void (*delin_score_fn)(const float *w, const float *add, size_t n4, const delin_rows *keep,
                               const delin_rows *work, float *score);

/* in (n, PHASE): seconds since the last R peak, to the next, their sum; out (n, A). */
typedef void (*delin_phase_fn)(const float *w, const float *in, size_t n, float *out);

typedef struct {
    delin_phase_fn phase;
    delin_encode_fn encode;
    delin_score_fn score;
} delin_net;

extern const delin_net delin_net_ref, delin_net_avx2, delin_net_avx512;

#endif
