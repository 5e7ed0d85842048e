#include "ekpy.h"
#include "ek_io.h"

static PyObject *text_at(const uint8_t *bytes, ek_text t) {
    return PyUnicode_DecodeUTF8((const char *)bytes + t.at, (Py_ssize_t)t.len, "replace");
}

static PyObject *maybe(unsigned has, long v) {
    if (has) return PyLong_FromLong(v);
    Py_RETURN_NONE;
}

/* A tuple of n items made by item(bytes, array, i). */
static PyObject *tuple_of(size_t n, PyObject *(*item)(const uint8_t *, const void *, size_t),
                          const uint8_t *bytes, const void *array) {
    PyObject *all = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; all != NULL && i < n; i++) {
        PyObject *one = item(bytes, array, i);
        if (one == NULL || PyTuple_SetItem(all, (Py_ssize_t)i, one) < 0) Py_CLEAR(all);
    }
    return all;
}

/* Field c of one signal, in the order of ecgkit.io._wfdb.Signals. */
static PyObject *signal_field(const uint8_t *bytes, const ek_wfdb_signal *s, int c) {
    switch (c) {
    case 0: return text_at(bytes, s->name);
    case 1: return text_at(bytes, s->file);
    case 2: return s->has & EK_WFDB_UNIT ? text_at(bytes, s->unit) : PyUnicode_FromString("");
    case 3: return PyLong_FromLong(s->format);
    case 4: return PyLong_FromLong(s->per_frame);
    case 5: return PyLong_FromLong(s->skew);
    case 6: return PyLong_FromLongLong(s->offset);
    case 7: return PyFloat_FromDouble(s->gain);
    case 8: return PyLong_FromLong(s->baseline);
    case 9: return maybe(s->has & EK_WFDB_INITIAL, s->initial);
    case 10: return maybe(s->has & EK_WFDB_CHECKSUM, s->checksum & 0xffff);
    default: return PyBool_FromLong((s->has & EK_WFDB_GAIN) != 0);
    }
}

enum { SIGNAL_FIELDS = 12 };

/* One tuple a field, one item a signal in each: Python then works on whole columns. */
static PyObject *signal_columns(const uint8_t *bytes, const ek_wfdb_signal *all, size_t n) {
    PyObject *columns = PyTuple_New(SIGNAL_FIELDS);
    for (int c = 0; columns != NULL && c < SIGNAL_FIELDS; c++) {
        PyObject *column = PyTuple_New((Py_ssize_t)n);
        for (size_t i = 0; column != NULL && i < n; i++) {
            PyObject *one = signal_field(bytes, &all[i], c);
            if (one == NULL || PyTuple_SetItem(column, (Py_ssize_t)i, one) < 0) Py_CLEAR(column);
        }
        if (column == NULL || PyTuple_SetItem(columns, c, column) < 0) Py_CLEAR(columns);
    }
    return columns;
}

static PyObject *one_segment(const uint8_t *bytes, const void *array, size_t i) {
    const ek_wfdb_segment *s = (const ek_wfdb_segment *)array + i;
    return Py_BuildValue("(NL)", text_at(bytes, s->name), (long long)s->length);
}

static PyObject *one_comment(const uint8_t *bytes, const void *array, size_t i) {
    return text_at(bytes, ((const ek_text *)array)[i]);
}

static void header_error(const uint8_t *bytes, const ek_wfdb_error *e, PyObject *source) {
    const Py_ssize_t shown = e->got.len < 60 ? (Py_ssize_t)e->got.len : 60;
    PyObject *got = PyUnicode_DecodeLatin1((const char *)bytes + e->got.at, shown, NULL);
    if (got == NULL) return;
    if (e->line && shown)
        ekpy_error("FormatError", "%U, line %zu: %s %s; got %A", source, e->line, e->field,
                   e->wanted, got);
    else if (e->line)
        ekpy_error("FormatError", "%U, line %zu: %s %s; the line ends before it", source, e->line,
                   e->field, e->wanted);
    else
        ekpy_error("FormatError", "%U: %s %s", source, e->field, e->wanted);
    Py_DECREF(got);
}

static PyObject *py_wfdb_header(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "wfdb_header", {"text", "source", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    char *data;
    Py_ssize_t size;
    ek_wfdb_header h;
    ek_wfdb_error error;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (PyBytes_AsStringAndSize(a[0], &data, &size) < 0) return NULL;
    if (!PyUnicode_Check(a[1])) {
        PyErr_SetString(PyExc_TypeError, "wfdb_header: source must be a string");
        return NULL;
    }
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return PyErr_NoMemory();
    const size_t mark = ek_arena_mark(tmp);
    const uint8_t *bytes = (const uint8_t *)data;
    const ek_status st = ek_wfdb_parse(bytes, (size_t)size, tmp, &h, &error);
    if (st == EK_EFORMAT) {
        header_error(bytes, &error, a[1]);
    } else if (st != EK_OK) {
        ekpy_raise(st, &sig);
    } else {
        result = Py_BuildValue("(NdddLNnNNN)", text_at(bytes, h.name), h.fs, h.counter, h.base,
                               (long long)h.length, text_at(bytes, h.start), (Py_ssize_t)h.signals,
                               signal_columns(bytes, h.signal, h.segments ? 0 : h.signals),
                               tuple_of(h.segments, one_segment, bytes, h.segment),
                               tuple_of(h.comments, one_comment, bytes, h.comment));
    }
    ek_arena_reset(tmp, mark);
    ek_arena_return(tmp);
    return result;
}

/* files: a sequence of (fd, format, offset, signals) in the order of the rows. */
static int parse_files(const ekpy_sig *sig, PyObject *list, ek_wfdb_file *file, size_t files,
                       size_t *rows) {
    *rows = 0;
    for (size_t i = 0; i < files; i++) {
        long long offset;
        Py_ssize_t n;
        PyObject *item = PyTuple_GetItem(list, (Py_ssize_t)i);
        if (item == NULL ||
            !PyArg_ParseTuple(item, "iiLn", &file[i].fd, &file[i].format, &offset, &n))
            return -1;
        if (ek_wfdb_bytes(file[i].format, 1) == 0 || offset < 0 || n < 1 ||
            n > EK_WFDB_MAX_SIGNALS) {
            PyErr_Format(PyExc_ValueError,
                         "%s: file %zu: format, offset or number of signals out of range",
                         sig->name, i);
            return -1;
        }
        file[i].offset = offset;
        file[i].first = *rows;
        file[i].signals = (size_t)n;
        *rows += (size_t)n;
    }
    return 0;
}

/* scale: a sequence of (gain, baseline, factor), one a row. */
static int parse_scale(const ekpy_sig *sig, PyObject *list, const ek_wfdb_file *file, size_t files,
                       size_t rows, ek_wfdb_scale *scale) {
    if (!PyTuple_Check(list) || PyTuple_Size(list) != (Py_ssize_t)rows) {
        PyErr_Format(PyExc_ValueError, "%s: scale must be a tuple with one item a signal (%zu)",
                     sig->name, rows);
        return -1;
    }
    for (size_t f = 0, row = 0; f < files; f++) {
        for (size_t s = 0; s < file[f].signals; s++, row++) {
            PyObject *item = PyTuple_GetItem(list, (Py_ssize_t)row);
            ek_wfdb_scale *to = &scale[row];
            if (item == NULL ||
                !PyArg_ParseTuple(item, "did", &to->gain, &to->baseline, &to->factor))
                return -1;
            to->invalid = ek_wfdb_invalid(file[f].format);
        }
    }
    return 0;
}

static PyObject *sums_tuple(const uint32_t *sum, size_t rows) {
    PyObject *all = PyTuple_New((Py_ssize_t)rows);
    for (size_t i = 0; all != NULL && i < rows; i++) {
        PyObject *one = PyLong_FromLong((long)(sum[i] & 0xffff));
        if (one == NULL || PyTuple_SetItem(all, (Py_ssize_t)i, one) < 0) Py_CLEAR(all);
    }
    return all;
}

static PyObject *py_wfdb_load(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
    static const ekpy_sig sig = {
        "wfdb_load", {"files", "frames", "scale", NULL},
         3
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    PyArrayObject *raw = NULL, *x = NULL;
    size_t frames = 0, rows = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "frames", 1, &frames) < 0) return NULL;
    if (!PyTuple_Check(a[0]) || PyTuple_Size(a[0]) > EK_WFDB_MAX_SIGNALS) {
        PyErr_SetString(PyExc_TypeError, "wfdb_load: files must be a tuple of at most 4096 items");
        return NULL;
    }
    const size_t files = (size_t)PyTuple_Size(a[0]);
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return PyErr_NoMemory();
    const size_t mark = ek_arena_mark(tmp);
    ek_wfdb_file *file = ek_arena_alloc(tmp, files, sizeof *file);
    if (file == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (parse_files(&sig, a[0], file, files, &rows) < 0) goto done;
    ek_wfdb_scale *scale = ek_arena_alloc(tmp, rows, sizeof *scale);
    uint32_t *sum = ek_arena_alloc(tmp, rows, sizeof *sum);
    if (scale == NULL || sum == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (parse_scale(&sig, a[2], file, files, rows, scale) < 0) goto done;
    int wide = 0;
    for (size_t f = 0; f < files; f++) wide |= file[f].format == 24 || file[f].format == 32;
    const npy_intp shape[2] = {(npy_intp)rows, (npy_intp)frames};
    if ((raw = ekpy_out(&sig, NULL, wide ? NPY_INT32 : NPY_INT16, 2, shape, "raw")) == NULL)
        goto done;
    if ((x = ekpy_out(&sig, NULL, NPY_FLOAT, 2, shape, "signal")) == NULL) goto done;
    EKPY_RUN(st, 0,
             ek_wfdb_load(file, files, frames, scale, wide, PyArray_DATA(raw), PyArray_DATA(x), sum,
                          tmp));
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        goto done;
    }
    result = Py_BuildValue("(OON)", (PyObject *)x, (PyObject *)raw, sums_tuple(sum, rows));
done:
    Py_XDECREF((PyObject *)raw);
    Py_XDECREF((PyObject *)x);
    ek_arena_reset(tmp, mark);
    ek_arena_return(tmp);
    return result;
}

/* The text of an annotation: up to the NUL that some writers add. */
static PyObject *one_aux(const uint8_t *bytes, const void *array, size_t i) {
    ek_text t = ((const ek_wfdb_annotation *)array)[i].aux;
    for (size_t k = 0; k < t.len; k++)
        if (bytes[t.at + k] == 0) t.len = k;
    return text_at(bytes, t);
}

static PyObject *annotation_table(const ekpy_sig *sig, const uint8_t *bytes,
                                  const ek_wfdb_annotation *all, size_t n) {
    static const int type[5] = {NPY_INT64, NPY_UINT8, NPY_INT8, NPY_UINT8, NPY_INT8};
    const npy_intp shape[1] = {(npy_intp)n};
    PyArrayObject *column[5] = {NULL};
    PyObject *result = NULL;
    for (int c = 0; c < 5; c++)
        if ((column[c] = ekpy_out(sig, NULL, type[c], 1, shape, "column")) == NULL) goto done;
    for (size_t i = 0; i < n; i++) {
        ((int64_t *)PyArray_DATA(column[0]))[i] = all[i].sample;
        ((uint8_t *)PyArray_DATA(column[1]))[i] = all[i].code;
        ((int8_t *)PyArray_DATA(column[2]))[i] = all[i].subtype;
        ((uint8_t *)PyArray_DATA(column[3]))[i] = all[i].channel;
        ((int8_t *)PyArray_DATA(column[4]))[i] = all[i].number;
    }
    result = Py_BuildValue("(OOOOON)", (PyObject *)column[0], (PyObject *)column[1],
                           (PyObject *)column[2], (PyObject *)column[3], (PyObject *)column[4],
                           tuple_of(n, one_aux, bytes, all));
done:
    for (int c = 0; c < 5; c++) Py_XDECREF((PyObject *)column[c]);
    return result;
}

static PyObject *py_wfdb_annotations(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kw) {
    static const ekpy_sig sig = {
        "wfdb_annotations", {"data", "source", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    char *data;
    Py_ssize_t size;
    size_t count = 0, at = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (PyBytes_AsStringAndSize(a[0], &data, &size) < 0) return NULL;
    if (!PyUnicode_Check(a[1])) {
        PyErr_SetString(PyExc_TypeError, "wfdb_annotations: source must be a string");
        return NULL;
    }
    const uint8_t *bytes = (const uint8_t *)data;
    if (ek_wfdb_annotations(bytes, (size_t)size, NULL, &count, &at) != EK_OK) {
        ekpy_error("FormatError", "%U, byte %zu: the list of annotations is cut off or malformed",
                   a[1], at);
        return NULL;
    }
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return PyErr_NoMemory();
    const size_t mark = ek_arena_mark(tmp);
    ek_wfdb_annotation *all = ek_arena_alloc(tmp, count, sizeof *all);
    ek_status st = all == NULL ? EK_ENOMEM : EK_OK;
    if (st == EK_OK) st = ek_wfdb_annotations(bytes, (size_t)size, all, &count, &at);
    if (st == EK_OK)
        result = annotation_table(&sig, bytes, all, count);
    else
        ekpy_raise(st, &sig);
    ek_arena_reset(tmp, mark);
    ek_arena_return(tmp);
    return result;
}

static PyObject *py_scp_huffman(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kw) {
    static const ekpy_sig sig = {
        "scp_huffman", {"data", "count", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS];
    char *data;
    Py_ssize_t size;
    size_t count = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (PyBytes_AsStringAndSize(a[0], &data, &size) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "count", 0, &count) < 0) return NULL;
    if (count > (size_t)size * 8) {
        ekpy_raise(EK_EFORMAT, &sig);
        return NULL;
    }
    const npy_intp shape[1] = {(npy_intp)count};
    PyArrayObject *out = ekpy_out(&sig, NULL, NPY_INT32, 1, shape, "out");
    if (out == NULL) return NULL;
    const ek_status st =
        ek_scp_huffman((const uint8_t *)data, (size_t)size, PyArray_DATA(out), count);
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
    return (PyObject *)out;
}

static PyObject *py_lzw10(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "lzw10", {"data", "room", NULL},
         2
    };
    PyObject *a[EKPY_MAX_ARGS], *result = NULL;
    char *data;
    Py_ssize_t size;
    size_t room = 0, used = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (PyBytes_AsStringAndSize(a[0], &data, &size) < 0) return NULL;
    if (ekpy_size(&sig, a[1], "room", 0, &room) < 0) return NULL;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return PyErr_NoMemory();
    const size_t mark = ek_arena_mark(tmp);
    uint8_t *out = ek_arena_alloc(tmp, room, 1);
    ek_status st = out == NULL ? EK_ENOMEM : EK_OK;
    if (st == EK_OK) st = ek_lzw10((const uint8_t *)data, (size_t)size, out, room, &used);
    if (st == EK_OK)
        result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)used);
    else
        ekpy_raise(st, &sig);
    ek_arena_reset(tmp, mark);
    ek_arena_return(tmp);
    return result;
}

PyMethodDef ekpy_io_methods[] = {
    EKPY_METHOD("scp_huffman", py_scp_huffman),
    EKPY_METHOD("lzw10", py_lzw10),
    EKPY_METHOD("wfdb_annotations", py_wfdb_annotations),
    EKPY_METHOD("wfdb_header", py_wfdb_header),
    EKPY_METHOD("wfdb_load", py_wfdb_load),
    {NULL, NULL, 0, NULL},
};
