-- Numbers of spans and traces per counted day, span type and project.
CREATE TABLE workflow_trace_counts (
    day date NOT NULL,
    span_type text NOT NULL,
    project text NOT NULL,
    part integer NOT NULL DEFAULT 0 CHECK (part >= 0),
    spans bigint NOT NULL,
    timed_spans bigint NOT NULL,
    traces bigint,
    PRIMARY KEY (day, span_type, project, part)
);
COMMENT ON TABLE workflow_trace_counts IS
    'Number of spans per counted day, span type and project. The empty type stands for all spans, with the number of '
    'traces. Parts as in duration_histograms.';
