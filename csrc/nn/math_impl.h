/* math_impl.h: transcendentals over vec_*.h. Errors against float64, in units of the last place:
 * docs/accuracy_transcendentals.md; bounds: tests/test_nn_transcendentals.py. NaN goes in and out,
 * infinities as the C library's functions, denormals come out of exp. */

static inline vf vf_exp_clamped(vf clamped) {
    const vf n = vf_round(vf_mul(clamped, vf_set1(1.44269504f)));
    vf r = vf_fnma(n, vf_set1(0.693359375f), clamped);
    r = vf_fnma(n, vf_set1(-2.12194440e-4f), r);
    vf p = vf_set1(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
    p = vf_add(vf_fma(vf_mul(r, r), p, r), vf_set1(1.0f));
    return vf_ldexp(p, n);
}

static inline vf vf_exp(vf x) {
    const vf clamped = vf_min(vf_set1(89.0f), vf_max(vf_set1(-104.5f), x)); /* inf above, 0 below */
    return vf_where_nan(x, x, vf_exp_clamped(clamped));
}

static inline vf vf_exp_below(vf x) { /* the same numbers for x <= 0 and NaN */
    return vf_exp_clamped(vf_max(vf_set1(-104.5f), x));
}

static inline vf vf_sigmoid(vf x) {
    return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), vf_exp(vf_sub(vf_set1(0.0f), x))));
}

static inline vf vf_tanh(vf x) {
    const vf a = vf_abs(x), z = vf_mul(x, x);
    vf p = vf_set1(-5.70498872745e-3f);
    p = vf_fma(p, z, vf_set1(2.06390887954e-2f));
    p = vf_fma(p, z, vf_set1(-5.37397155531e-2f));
    p = vf_fma(p, z, vf_set1(1.33314422036e-1f));
    p = vf_fma(p, z, vf_set1(-3.33332819422e-1f));
    const vf small = vf_fma(vf_mul(p, z), x, x);
    const vf e = vf_exp(vf_add(a, a));
    const vf large = vf_sub(vf_set1(1.0f), vf_div(vf_set1(2.0f), vf_add(e, vf_set1(1.0f))));
    const vf y = vf_copysign(vf_where_lt(a, vf_set1(0.625f), small, large), x); /* -0 stays */
    return vf_where_nan(x, x, y);
}

/* Rational approximation on [-4, 4] (the coefficients of Eigen and XLA), 1 beyond. */
static inline vf vf_erf(vf x) {
    const vf c = vf_min(vf_set1(4.0f), vf_max(vf_set1(-4.0f), x)), z = vf_mul(c, c);
    vf p = vf_set1(-2.72614225801306e-10f);
    p = vf_fma(p, z, vf_set1(2.77068142495902e-08f));
    p = vf_fma(p, z, vf_set1(-2.10102402082508e-06f));
    p = vf_fma(p, z, vf_set1(-5.69250639462346e-05f));
    p = vf_fma(p, z, vf_set1(-7.34990630326855e-04f));
    p = vf_fma(p, z, vf_set1(-2.95459980854025e-03f));
    p = vf_fma(p, z, vf_set1(-1.60960333262415e-02f));
    vf q = vf_set1(-1.45660718464996e-05f);
    q = vf_fma(q, z, vf_set1(-2.13374055278905e-04f));
    q = vf_fma(q, z, vf_set1(-1.68282697438203e-03f));
    q = vf_fma(q, z, vf_set1(-7.37332916720468e-03f));
    q = vf_fma(q, z, vf_set1(-1.42647390514189e-02f));
    return vf_div(vf_mul(c, p), q);
}

static inline vf vf_gelu(vf x) {
    const vf e = vf_erf(vf_mul(x, vf_set1(0.70710678f)));
    return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), e));
}

static inline vf vf_gelu_tanh(vf x) {
    const vf inner =
        vf_mul(vf_set1(0.79788456f), vf_fma(vf_mul(vf_mul(x, x), x), vf_set1(0.044715f), x));
    return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), vf_tanh(inner)));
}

static inline vf vf_act(ek_act kind, vf param, vf x) {
    const vf zero = vf_set1(0.0f);
    switch (kind) {
    case EK_ACT_RELU: return vf_max(zero, x);
    case EK_ACT_RELU6: return vf_min(vf_set1(6.0f), vf_max(zero, x));
    case EK_ACT_SIGMOID: return vf_sigmoid(x);
    case EK_ACT_TANH: return vf_tanh(x);
    case EK_ACT_SILU: return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(vf_sub(zero, x))));
    case EK_ACT_GELU: return vf_gelu(x);
    case EK_ACT_GELU_TANH: return vf_gelu_tanh(x);
    case EK_ACT_LEAKY: return vf_where_lt(x, zero, vf_mul(param, x), x);
    case EK_ACT_EXP: return vf_exp(x);
    default: return x;
    }
}
