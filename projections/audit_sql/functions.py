"""The functions that auditors' statements may call."""

from __future__ import annotations

_AGGREGATES = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every
    json_agg json_object_agg jsonb_agg jsonb_object_agg max min mode percentile_cont percentile_disc
    range_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance
"""
_WINDOWS = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"
_NUMBERS = """
    abs acos asin atan atan2 cbrt ceil ceiling cos degrees div exp floor gcd lcm ln log log10 mod pi power
    radians random round scale sign sin sqrt tan trim_scale trunc width_bucket
"""
_TEXTS = """
    ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert_from decode
    encode format initcap left length lower ltrim md5 octet_length quote_ident quote_literal quote_nullable
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr replace reverse right rtrim sha256 split_part starts_with
    string_to_array string_to_table strpos substr to_hex translate upper
"""
_TIMES = """
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now
    statement_timestamp timezone to_char to_date to_number to_timestamp transaction_timestamp
"""
_JSON = """
    json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
    json_each json_each_text json_extract_path json_extract_path_text json_object_keys json_strip_nulls
    json_to_record json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_match
    jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls
    jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb
"""
_SETS = """
    array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_sort array_to_json array_to_string array_upper cardinality
    generate_series generate_subscripts isempty lower_inc lower_inf num_nonnulls num_nulls range_merge
    daterange int4range int8range numrange tsrange tstzrange unnest upper_inc upper_inf
"""
_SEARCH = (
    "numnode phraseto_tsquery plainto_tsquery to_tsquery to_tsvector ts_headline ts_rank websearch_to_tsquery"
)
_OTHERS = "gen_random_uuid hashtextextended uuid_extract_timestamp uuid_extract_version"
ALLOWED = frozenset(
    f"{_AGGREGATES} {_WINDOWS} {_NUMBERS} {_TEXTS} {_TIMES} {_JSON} {_SETS} {_SEARCH} {_OTHERS}".split()
)
"""The names of functions that only compute: none reads files, sleeps, takes locks, or changes anything."""
