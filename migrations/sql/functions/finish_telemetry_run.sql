-- End the RUNNING run of a Dagster run; returns false if the Dagster run has lost the row.
CREATE OR REPLACE FUNCTION finish_telemetry_run(
    run_id uuid, dagster_run_id text, status text, reason_code text, error_detail text DEFAULT NULL,
    output_ref jsonb DEFAULT NULL, findings_count integer DEFAULT NULL, top_bottleneck_category text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    UPDATE telemetry_analysis_runs AS r
    SET status = finish_telemetry_run.status, reason_code = finish_telemetry_run.reason_code,
        error_detail = finish_telemetry_run.error_detail, output_ref = finish_telemetry_run.output_ref,
        findings_count = finish_telemetry_run.findings_count,
        top_bottleneck_category = finish_telemetry_run.top_bottleneck_category,
        finished_at = clock_timestamp(),
        duration_ms = extract(epoch FROM clock_timestamp() - r.started_at) * 1000
    WHERE r.run_id = finish_telemetry_run.run_id AND r.dagster_run_id = finish_telemetry_run.dagster_run_id
      AND r.status = 'RUNNING';
    RETURN FOUND;
END $$;
