/* winograd_impl.h: the transforms of Winograd's convolutions over vec_*.h, one block of 16 channels
 * at a time. */

/* B^T along one line: (d0-d2, d1+d2, d2-d1, d1-d3). */
ALWAYS void wino_line(const vf *d, vf *out) {
    out[0] = vf_sub(d[0], d[2]);
    out[1] = vf_add(d[1], d[2]);
    out[2] = vf_sub(d[2], d[1]);
    out[3] = vf_sub(d[1], d[3]);
}

static void wino_in(const float *x, size_t pitch, size_t n, float *v, size_t point) {
    for (size_t h = 0; h < HALVES; h++)
        for (size_t t = 0; t < n; t++) {
            const float *p = x + 2 * t * EK_LANES + h * VF;
            float *o = v + t * EK_LANES + h * VF;
            vf half[4][4];
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++) {
                vf row[4];
#pragma GCC unroll 4
                for (size_t j = 0; j < 4; j++) row[j] = vf_load(p + i * pitch + j * EK_LANES);
                wino_line(row, half[i]);
            }
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                const vf column[4] = {half[0][j], half[1][j], half[2][j], half[3][j]};
                vf out[4];
                wino_line(column, out);
#pragma GCC unroll 4
                for (size_t i = 0; i < 4; i++) vf_store(o + (4 * i + j) * point, out[i]);
            }
        }
}

ALWAYS void wino_put(const ek_wino_out *o, size_t y, size_t x, size_t lane, vf value) {
    if (x >= o->columns) return;
    if (o->res != NULL)
        value = vf_add(value, vf_load(o->res + y * o->res_pitch + x * EK_LANES + lane));
    vf_store(o->out + y * o->pitch + x * EK_LANES + lane,
             vf_min(vf_set1(o->hi), vf_max(vf_set1(o->lo), value)));
}

static void wino_out(const ek_wino_out *o) {
    for (size_t h = 0; h < HALVES; h++)
        for (size_t t = 0; t < o->n; t++) {
            const float *m = o->m + t * o->tile + h * VF;
            vf top[4], low[4];
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                const vf a = vf_load(m + j * o->point), b = vf_load(m + (4 + j) * o->point);
                const vf c = vf_load(m + (8 + j) * o->point), d = vf_load(m + (12 + j) * o->point);
                top[j] = vf_add(vf_add(a, b), c);
                low[j] = vf_sub(vf_sub(b, c), d);
            }
            const vf bias = vf_load(o->bias + h * VF);
            vf y[2][2];
            y[0][0] = vf_add(vf_add(vf_add(top[0], top[1]), top[2]), bias);
            y[0][1] = vf_add(vf_sub(vf_sub(top[1], top[2]), top[3]), bias);
            y[1][0] = vf_add(vf_add(vf_add(low[0], low[1]), low[2]), bias);
            y[1][1] = vf_add(vf_sub(vf_sub(low[1], low[2]), low[3]), bias);
            const vf sum = vf_add(vf_add(y[0][0], y[0][1]), vf_add(y[1][0], y[1][1]));
            o->bad[t] |= (unsigned char)vf_any_nan(vf_sub(sum, sum)); /* NaN or infinity */
            wino_put(o, 0, 2 * t, h * VF, y[0][0]);
            wino_put(o, 0, 2 * t + 1, h * VF, y[0][1]);
            if (o->rows < 2) continue;
            wino_put(o, 1, 2 * t, h * VF, y[1][0]);
            wino_put(o, 1, 2 * t + 1, h * VF, y[1][1]);
        }
}

/* B^T of F(4, 3) and F(2, 5): even and odd parts of the four middle points are shared. */
ALWAYS void wino_six(const vf *d, vf *out) {
    const double aa = EK_WINO_A * EK_WINO_A, bb = EK_WINO_B * EK_WINO_B;
    const vf a = vf_set1((float)EK_WINO_A), b = vf_set1((float)EK_WINO_B);
    const vf a2 = vf_set1((float)aa), b2 = vf_set1((float)bb);
    const vf product = vf_set1((float)(aa * bb)), sum = vf_set1((float)(aa + bb));
    const vf even_a = vf_fnma(b2, d[2], d[4]), odd_a = vf_fnma(b2, d[1], d[3]);
    const vf even_b = vf_fnma(a2, d[2], d[4]), odd_b = vf_fnma(a2, d[1], d[3]);
    out[0] = vf_fnma(sum, d[2], vf_fma(product, d[0], d[4]));
    out[1] = vf_fma(a, odd_a, even_a);
    out[2] = vf_fnma(a, odd_a, even_a);
    out[3] = vf_fma(b, odd_b, even_b);
    out[4] = vf_fnma(b, odd_b, even_b);
    out[5] = vf_fnma(sum, d[3], vf_fma(product, d[1], d[5]));
}

static void wino_line_in(size_t outputs, const float *x, size_t n, float *v, size_t point) {
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < HALVES; h++) {
            const float *p = x + outputs * t * EK_LANES + h * VF;
            float *o = v + t * EK_LANES + h * VF;
            vf d[6], out[6];
#pragma GCC unroll 6
            for (size_t j = 0; j < 6; j++) d[j] = vf_load(p + j * EK_LANES);
            wino_six(d, out);
#pragma GCC unroll 6
            for (size_t j = 0; j < 6; j++) vf_store(o + j * point, out[j]);
        }
}

static void wino_line_out(size_t outputs, const ek_wino_out *o) {
    const vf a = vf_set1((float)EK_WINO_A), a2 = vf_mul(a, a), a3 = vf_mul(a, a2);
    const vf b = vf_set1((float)EK_WINO_B), b2 = vf_mul(b, b), b3 = vf_mul(b, b2);
    for (size_t h = 0; h < HALVES; h++) {
        const vf bias = vf_load(o->bias + h * VF);
        for (size_t t = 0; t < o->n; t++) {
            const float *p = o->m + t * o->tile + h * VF;
            vf m[6];
#pragma GCC unroll 6
            for (size_t j = 0; j < 6; j++) m[j] = vf_load(p + j * o->point);
            const vf even_a = vf_add(m[1], m[2]), odd_a = vf_sub(m[1], m[2]);
            const vf even_b = vf_add(m[3], m[4]), odd_b = vf_sub(m[3], m[4]);
            const vf y0 = vf_add(vf_add(vf_add(even_a, even_b), m[0]), bias);
            vf y1 = vf_fma(b, odd_b, vf_fma(a, odd_a, bias)), sum;
            wino_put(o, 0, outputs * t, h * VF, y0);
            if (outputs == 2) {
                y1 = vf_add(y1, m[5]);
                wino_put(o, 0, 2 * t + 1, h * VF, y1);
                sum = vf_add(y0, y1);
            } else {
                const vf y2 = vf_fma(b2, even_b, vf_fma(a2, even_a, bias));
                const vf y3 = vf_add(vf_fma(b3, odd_b, vf_fma(a3, odd_a, m[5])), bias);
                wino_put(o, 0, 4 * t + 1, h * VF, y1);
                wino_put(o, 0, 4 * t + 2, h * VF, y2);
                wino_put(o, 0, 4 * t + 3, h * VF, y3);
                sum = vf_add(vf_add(y0, y1), vf_add(y2, y3));
            }
            o->bad[t] |= (unsigned char)vf_any_nan(vf_sub(sum, sum)); /* NaN or infinity */
        }
    }
}
