/* Figures of decisions, rankings and probabilities. Labels come checked from our own Python. */
#include "ekpy.h"
#include "ek_metric.h"

/* y: uint8 (n, c); s: float32 or float64 of that shape. s is a new reference. */
static int labelled(const ekpy_sig *sig, PyObject **a, PyArrayObject **y, PyArrayObject **s) {
    if ((*y = ekpy_in(sig, a[0], NPY_UINT8, 2, 2, "y")) == NULL) return -1;
    const int type = ekpy_float_type(sig, a[1], "s");
    if (type < 0 || (*s = ekpy_in(sig, a[1], type, 2, 2, "s")) == NULL) return -1;
    if (ekpy_same_dim(sig, *y, 0, *s, 0, "y and s") < 0) return -1;
    if (ekpy_same_dim(sig, *y, 1, *s, 1, "y and s") < 0) return -1;
    return type;
}

static void refuse(ek_status st, const ekpy_sig *sig, const char *what) {
    if (st == EK_EVALUE)
        ekpy_error("MetricError", "%s", what);
    else
        ekpy_raise(st, sig);
}

static PyObject *py_metric_sweep(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_sweep", {"y", "s", "thresholds", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *y = NULL, *s = NULL, *t = NULL, *sums = NULL, *counts = NULL;
    size_t threads = 0, records = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    const int type = labelled(&sig, a, &y, &s);
    if (type < 0 || (t = ekpy_in(&sig, a[2], NPY_DOUBLE, 1, 1, "thresholds")) == NULL) goto done;
    const size_t n = ekpy_dims(s, 0, 1), c = ekpy_dims(s, 1, 2), k = ekpy_dims(t, 0, 1);
    if (k == 0) {
        ekpy_error("MetricError", "thresholds must hold at least one value");
        goto done;
    }
    const npy_intp by_record[] = {(npy_intp)k, 3}, by_class[] = {(npy_intp)c, (npy_intp)k, 2};
    if ((sums = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, by_record, "out")) == NULL) goto done;
    if ((counts = ekpy_out(&sig, NULL, NPY_INT64, 3, by_class, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE
                 ? ek_metric_sweep_f64(PyArray_DATA(y), PyArray_DATA(s), n, c, PyArray_DATA(t), k,
                                       PyArray_DATA(sums), PyArray_DATA(counts), &records)
                 : ek_metric_sweep_f32(PyArray_DATA(y), PyArray_DATA(s), n, c, PyArray_DATA(t), k,
                                       PyArray_DATA(sums), PyArray_DATA(counts), &records));
    if (st == EK_OK)
        result = Py_BuildValue("(OOn)", sums, counts, (Py_ssize_t)records);
    else
        refuse(st, &sig, "scores hold NaN");
done:
    Py_XDECREF((PyObject *)y);
    Py_XDECREF((PyObject *)s);
    Py_XDECREF((PyObject *)t);
    Py_XDECREF((PyObject *)sums);
    Py_XDECREF((PyObject *)counts);
    return result;
}

static PyObject *py_metric_confusion(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_confusion", {"y", "p", "weight", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *y = NULL, *p = NULL, *w = NULL, *out = NULL;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    if ((y = ekpy_in(&sig, a[0], NPY_UINT8, 2, 2, "y")) == NULL) goto done;
    if ((p = ekpy_in(&sig, a[1], NPY_UINT8, 2, 2, "p")) == NULL) goto done;
    if (a[2] && (w = ekpy_in(&sig, a[2], NPY_DOUBLE, 1, 1, "weight")) == NULL) goto done;
    if (ekpy_same_dim(&sig, y, 0, p, 0, "y and p") < 0 ||
        ekpy_same_dim(&sig, y, 1, p, 1, "y and p") < 0 ||
        (w && ekpy_same_dim(&sig, y, 0, w, 0, "y and weight") < 0))
        goto done;
    const npy_intp shape[] = {PyArray_DIM(y, 1), 4};
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_metric_confusion(PyArray_DATA(y), PyArray_DATA(p), ekpy_dims(y, 0, 1),
                                 ekpy_dims(y, 1, 2), w ? PyArray_DATA(w) : NULL,
                                 PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)y);
    Py_XDECREF((PyObject *)p);
    Py_XDECREF((PyObject *)w);
    return (PyObject *)out;
}

static PyObject *py_metric_ranking(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_ranking", {"y", "s", "coverage", "threads", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *y = NULL, *s = NULL, *out = NULL;
    size_t threads = 0;
    int coverage = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_bool(&sig, a[2], "coverage", &coverage) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    const int type = labelled(&sig, a, &y, &s);
    if (type < 0) goto done;
    const size_t n = ekpy_dims(s, 0, 1), c = ekpy_dims(s, 1, 2);
    const npy_intp shape[] = {(npy_intp)n, 3};
    if ((out = ekpy_out(&sig, NULL, NPY_DOUBLE, 2, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE ? ek_metric_ranking_f64(PyArray_DATA(y), PyArray_DATA(s), n, c,
                                                        coverage, PyArray_DATA(out))
                                : ek_metric_ranking_f32(PyArray_DATA(y), PyArray_DATA(s), n, c,
                                                        coverage, PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        refuse(st, &sig, "scores hold NaN");
    }
done:
    Py_XDECREF((PyObject *)y);
    Py_XDECREF((PyObject *)s);
    return (PyObject *)out;
}

static PyObject *py_metric_calibration(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kw) {
    static const ekpy_sig sig = {
        "metric_calibration", {"y", "p", "bins", "threads", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *y = NULL, *p = NULL, *table = NULL, *square = NULL;
    size_t threads = 0, bins = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[2], "bins", 1, &bins) < 0 ||
        ekpy_size(&sig, a[3], "threads", 0, &threads) < 0)
        return NULL;
    const int type = labelled(&sig, a, &y, &p);
    if (type < 0) goto done;
    const size_t n = ekpy_dims(p, 0, 1), c = ekpy_dims(p, 1, 2);
    const npy_intp shape[] = {(npy_intp)c, (npy_intp)bins, 3};
    if ((table = ekpy_out(&sig, NULL, NPY_DOUBLE, 3, shape, "out")) == NULL) goto done;
    if ((square = ekpy_out(&sig, NULL, NPY_DOUBLE, 1, shape, "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             type == NPY_DOUBLE
                 ? ek_metric_calibration_f64(PyArray_DATA(y), PyArray_DATA(p), n, c, bins,
                                             PyArray_DATA(table), PyArray_DATA(square))
                 : ek_metric_calibration_f32(PyArray_DATA(y), PyArray_DATA(p), n, c, bins,
                                             PyArray_DATA(table), PyArray_DATA(square)));
    if (st == EK_OK)
        result = Py_BuildValue("(OO)", table, square);
    else
        refuse(st, &sig,
               "probabilities must lie in 0..1 and not be NaN; apply the sigmoid to logits first");
done:
    Py_XDECREF((PyObject *)y);
    Py_XDECREF((PyObject *)p);
    Py_XDECREF((PyObject *)table);
    Py_XDECREF((PyObject *)square);
    return result;
}

PyMethodDef ekpy_metric_decisions_methods[] = {
    EKPY_METHOD("metric_sweep", py_metric_sweep),
    EKPY_METHOD("metric_confusion", py_metric_confusion),
    EKPY_METHOD("metric_ranking", py_metric_ranking),
    EKPY_METHOD("metric_calibration", py_metric_calibration),
    {NULL, NULL, 0, NULL},
};
