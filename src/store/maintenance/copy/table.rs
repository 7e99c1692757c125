//! What a table looks like, as its database says: nothing here is kept by hand, so no new table or column is forgotten.

/// A table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    /// By name, as the order in the table may differ.
    pub(super) columns: Vec<Column>,
    /// The columns of its key, in their order.
    pub(super) key: Vec<String>,
    /// Other tables that its rows refer to.
    pub(super) references: Vec<String>,
    /// The column that PostgreSQL counts by itself.
    pub(super) counted: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The three types that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
    Bytes,
}

/// A column as a catalogue lists it.
#[derive(sqlx::FromRow)]
pub(super) struct Listed {
    pub(super) in_table: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// Its place in the key, from 1; 0 when it is not part of it.
    pub(super) key: i64,
    /// 1 when the database counts it by itself.
    pub(super) counted: i64,
}

/// The tables that these columns and references (from, to) make. `None` when a type is not one of ours.
pub(super) fn tables(mut columns: Vec<Listed>, references: &[(String, String)]) -> Option<Vec<Table>> {
    columns.sort_by(|a, b| (&a.in_table, &a.name).cmp(&(&b.in_table, &b.name)));
    let mut tables = Vec::new();
    for of_table in columns.chunk_by(|a, b| a.in_table == b.in_table) {
        let name = of_table[0].in_table.clone();
        let mut key: Vec<&Listed> = of_table.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        let columns = of_table.iter().map(|column| {
            let kind = match column.kind.as_str() {
                "INTEGER" | "bigint" => Kind::Integer,
                "TEXT" | "text" => Kind::Text,
                "BLOB" | "bytea" => Kind::Bytes,
                _ => return None,
            };
            Some(Column { name: column.name.clone(), kind })
        });
        let others = references.iter().filter(|(from, to)| *from == name && *to != name);
        tables.push(Table {
            columns: columns.collect::<Option<_>>()?,
            key: key.into_iter().map(|column| column.name.clone()).collect(),
            references: others.map(|(_, to)| to.clone()).collect(),
            counted: of_table.iter().find(|column| column.counted == 1).map(|column| column.name.clone()),
            name,
        });
    }
    Some(tables)
}

/// The name of a table that one side lacks, or has otherwise.
pub(super) fn difference(ours: &[Table], theirs: &[Table]) -> Option<String> {
    let like = |a: &Table, b: &Table| a.name == b.name && a.columns == b.columns && a.key == b.key;
    let missing = |in_one: &[Table], of: &[Table]| {
        of.iter().find(|table| !in_one.iter().any(|other| like(other, table))).map(|table| table.name.clone())
    };
    missing(theirs, ours).or_else(|| missing(ours, theirs))
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
        names.map(quoted).collect::<Vec<_>>().join(", ")
    }

    /// Reads every row in the order of the key, which both engines compare alike.
    pub(super) fn select(&self) -> String {
        let columns = Self::listed(self.columns.iter().map(|column| column.name.as_str()));
        let key = Self::listed(self.key.iter().map(String::as_str));
        format!("SELECT {columns} FROM {} ORDER BY {key}", quoted(&self.name))
    }

    /// Writes so many rows.
    pub(super) fn insert(&self, rows: usize) -> String {
        let columns = Self::listed(self.columns.iter().map(|column| column.name.as_str()));
        let width = self.columns.len();
        let row = |row: usize| {
            let values: Vec<_> = (1..=width).map(|at| format!("${}", row * width + at)).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<_> = (0..rows).map(row).collect();
        let counted = if self.counted.is_some() { " OVERRIDING SYSTEM VALUE" } else { "" };
        format!("INSERT INTO {} ({columns}){counted} VALUES {}", quoted(&self.name), rows.join(", "))
    }
}
