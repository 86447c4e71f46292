-- Backtests per run: how good forecasts of the past would have been.
CREATE TABLE telemetry_backtests (
    run_id uuid PRIMARY KEY REFERENCES telemetry_analysis_runs ON DELETE CASCADE,
    verdict text NOT NULL,
    scores jsonb NOT NULL,
    bins jsonb NOT NULL,
    calibration jsonb NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE telemetry_backtests IS 'Scores of forecasts made for the past, compared with rules without a model.';
