/* Filters and resampling. */
#include "ekpy.h"
#include "ek_dsp.h"

typedef struct {
    const void *x;
    void *out;
    const void *taps;
    size_t n, t, up, down, k, reach;
    int single, spectrum;
} resample_call;

/* The kernel for the type and the method: FIR with taps, spectrum, else straight lines. */
static ek_status resample_rows(const resample_call *c) {
    if (c->taps != NULL)
        return c->single ? ek_dsp_resample_fir_f32(c->x, c->n, c->t, c->taps, c->up, c->down, c->k,
                                                   c->reach, c->out)
                         : ek_dsp_resample_fir_f64(c->x, c->n, c->t, c->taps, c->up, c->down, c->k,
                                                   c->reach, c->out);
    if (c->spectrum)
        return c->single ? ek_dsp_resample_fft_f32(c->x, c->n, c->t, c->up, c->down, c->out)
                         : ek_dsp_resample_fft_f64(c->x, c->n, c->t, c->up, c->down, c->out);
    return c->single ? ek_dsp_resample_linear_f32(c->x, c->n, c->t, c->up, c->down, c->out)
                     : ek_dsp_resample_linear_f64(c->x, c->n, c->t, c->up, c->down, c->out);
}

static PyObject *py_resample(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "resample", {"x", "up", "down", "taps", "reach", "out", "threads", "spectrum", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *taps = NULL, *out = NULL;
    size_t up = 1, down = 1, reach = 0, threads = 0;
    int spectrum = 0;
    npy_intp shape[NPY_MAXDIMS];
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "up", 1, &up) < 0 || ekpy_size(&sig, a[2], "down", 1, &down) < 0 ||
        ekpy_size(&sig, a[4], "reach", 0, &reach) < 0 ||
        ekpy_size(&sig, a[6], "threads", 0, &threads) < 0 ||
        ekpy_bool(&sig, a[7], "spectrum", &spectrum) < 0)
        return NULL;
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS, "x")) == NULL) goto done;
    if (a[3] != NULL && (taps = ekpy_in(&sig, a[3], type, 2, 2, "taps")) == NULL) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    for (int d = 0; d < nd - 1; d++) shape[d] = PyArray_DIM(x, d);
    size_t grid;
    if (t == 0 || __builtin_mul_overflow(t, up, &grid) || grid > (size_t)NPY_MAX_INTP - down) {
        ekpy_error(
            "LayoutError",
            "resample: x has %zu samples per row; between 1 and %zu can be resampled by %zu/%zu", t,
            (size_t)NPY_MAX_INTP / up, up, down);
        goto done;
    }
    shape[nd - 1] = (npy_intp)((grid + down - 1) / down);
    if ((out = ekpy_out(&sig, a[5], type, nd, shape, "out")) == NULL) goto done;
    if (ekpy_no_overlap(&sig, out, x, "x") < 0) {
        Py_CLEAR(out);
        goto done;
    }
    const size_t k = taps ? ekpy_dims(taps, 1, 2) : 0;
    if (taps != NULL && ekpy_dims(taps, 0, 1) != up) {
        PyErr_Format(PyExc_ValueError, "resample: taps must have %zu rows, got %zu", up,
                     ekpy_dims(taps, 0, 1));
        Py_CLEAR(out);
        goto done;
    }
    const resample_call c = {PyArray_DATA(x),
                             PyArray_DATA(out),
                             taps ? PyArray_DATA(taps) : NULL,
                             n,
                             t,
                             up,
                             down,
                             k,
                             reach,
                             type == NPY_FLOAT,
                             spectrum};
    EKPY_RUN(st, threads, resample_rows(&c));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)taps);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

/* (coef, zi, pad) of every filter; the arrays go to `keep` (2 a filter). -1: a Python error is set.
 */
static int parse_filters(const ekpy_sig *sig, PyObject *list, size_t t, ek_iir *f,
                         PyArrayObject **keep, size_t filters) {
    for (size_t k = 0; k < filters; k++) {
        PyObject *item = PyTuple_GetItem(list, (Py_ssize_t)k), *coef, *zi;
        Py_ssize_t pad;
        if (item == NULL || !PyArg_ParseTuple(item, "OOn", &coef, &zi, &pad)) return -1;
        if ((keep[2 * k] = ekpy_in(sig, coef, NPY_DOUBLE, 2, 2, "coef")) == NULL ||
            (keep[2 * k + 1] = ekpy_in(sig, zi, NPY_DOUBLE, 2, 2, "zi")) == NULL ||
            ekpy_same_dim(sig, keep[2 * k], 0, keep[2 * k + 1], 0, "coef and zi") < 0)
            return -1;
        f[k] = (ek_iir){ekpy_dims(keep[2 * k + 1], 0, 1), ekpy_dims(keep[2 * k + 1], 1, 2),
                        PyArray_DATA(keep[2 * k]), PyArray_DATA(keep[2 * k + 1]), (size_t)pad};
        if (pad < 0 || ekpy_dims(keep[2 * k], 1, 2) != 2 * f[k].order + 1) {
            PyErr_SetString(
                PyExc_ValueError,
                "filtfilt: coef must hold 2*order + 1 values per section, pad 0 or more");
            return -1;
        }
        if (t <= f[k].pad) {
            ekpy_error("LayoutError",
                       "filtfilt: x has %zu samples per row; this filter needs more than %zu", t,
                       f[k].pad);
            return -1;
        }
    }
    return 0;
}

static PyObject *py_filtfilt(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    enum { MOST = 8 };
    static const ekpy_sig sig = {
        "filtfilt", {"x", "filters", "out", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL, *keep[2 * MOST] = {NULL};
    ek_iir f[MOST];
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[3], "threads", 0, &threads) < 0) return NULL;
    if (!PyTuple_Check(a[1]) || PyTuple_Size(a[1]) > MOST) {
        PyErr_SetString(PyExc_TypeError, "filtfilt: filters must be a tuple of at most 8 items");
        return NULL;
    }
    const size_t filters = (size_t)PyTuple_Size(a[1]);
    const int type = ekpy_float_type(&sig, a[0], "x");
    if (type < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], type, 1, NPY_MAXDIMS, "x")) == NULL) goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    if (parse_filters(&sig, a[1], t, f, keep, filters) < 0) goto done;
    if ((out = ekpy_out(&sig, a[2], type, nd, PyArray_DIMS(x), "out")) == NULL) goto done;
    if (type == NPY_FLOAT)
        EKPY_RUN(st, threads,
                 ek_dsp_filtfilt_f32(PyArray_DATA(x), n, t, f, filters, PyArray_DATA(out)));
    else
        EKPY_RUN(st, threads,
                 ek_dsp_filtfilt_f64(PyArray_DATA(x), n, t, f, filters, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    for (size_t k = 0; k < 2 * filters; k++) Py_XDECREF((PyObject *)keep[k]);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

static PyObject *py_correlate(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
    static const ekpy_sig sig = {
        "correlate", {"x", "y", "max_lag", "normalize", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *y = NULL, *out = NULL;
    size_t lags = 0, threads = 0;
    int normalize = 1;
    npy_intp shape[NPY_MAXDIMS];
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "max_lag", 0, &lags) < 0 ||
        ekpy_bool(&sig, a[3], "normalize", &normalize) < 0 ||
        ekpy_size(&sig, a[4], "threads", 0, &threads) < 0)
        return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_DOUBLE, 1, NPY_MAXDIMS, "x")) == NULL) goto done;
    if (a[1] != Py_None && (y = ekpy_in(&sig, a[1], NPY_DOUBLE, 1, NPY_MAXDIMS, "y")) == NULL)
        goto done;
    const int nd = PyArray_NDIM(x);
    const size_t n = ekpy_dims(x, 0, nd - 1), t = ekpy_dims(x, nd - 1, nd);
    if (y != NULL &&
        (PyArray_NDIM(y) != nd || !PyArray_CompareLists(PyArray_DIMS(x), PyArray_DIMS(y), nd))) {
        ekpy_error("LayoutError", "correlate: x and y must have one shape; broadcast them first");
        goto done;
    }
    if (lags >= t) {
        ekpy_error("LayoutError",
                   "correlate: max_lag must be below the %zu samples of a row, got %zu", t, lags);
        goto done;
    }
    for (int d = 0; d < nd - 1; d++) shape[d] = PyArray_DIM(x, d);
    shape[nd - 1] = (npy_intp)(y ? 2 * lags + 1 : lags + 1);
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, nd, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_correlate_f64(PyArray_DATA(x), y ? PyArray_DATA(y) : NULL, n, t, lags,
                                  normalize, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)y);
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_filter_methods[] = {
    EKPY_METHOD("resample", py_resample),
    EKPY_METHOD("filtfilt", py_filtfilt),
    EKPY_METHOD("correlate", py_correlate),
    {NULL, NULL, 0, NULL},
};
