-- The robot's calls are calls, too. An enum's new words can be used only once they are committed.

ALTER TYPE call_direction ADD VALUE 'survey';

ALTER TYPE call_outcome ADD VALUE 'surveyed';

ALTER TYPE fact_kind ADD VALUE 'heard';
ALTER TYPE fact_kind ADD VALUE 'noise';
ALTER TYPE fact_kind ADD VALUE 'said';
